//! How much work is submitted at once.

use super::{MACS_PER_BYTE, Plan};

impl Plan {
    /// The ends of the submissions of a run, as numbers of dispatches from its beginning, over all micro-batches. The
    /// last is the end of the run.
    pub fn submissions(&self) -> &[usize] {
        &self.submissions
    }

    /// The dispatches of a micro-batch in order: pairs of a step and one of its dispatches.
    fn in_order(&self) -> impl Iterator<Item = (usize, usize)> + Clone {
        self.schedule.iter().flat_map(|item| item.dispatches.clone().map(|dispatch| (item.step, dispatch)))
    }

    /// [`Plan::submissions`], computed from the work of the dispatches: each submission has as many dispatches as
    /// `most` multiply-adds allow.
    pub(super) fn bounded_submissions(&self, most: u64) -> Vec<usize> {
        let work = |(step, dispatch): (usize, usize)| {
            let step = &self.steps[step];
            let dispatch = &step.dispatches[dispatch];
            dispatch.launch.macs.saturating_add(MACS_PER_BYTE * self.dispatch_bytes(step, dispatch))
        };
        let works: Vec<u64> = self.in_order().map(work).collect();
        let mut ends = Vec::new();
        let mut submitted = 0u64;
        for (index, work) in works.iter().cycle().take(self.micro_batches * works.len()).enumerate() {
            if submitted > 0 && submitted.saturating_add(*work) > most {
                ends.push(index);
                submitted = 0;
            }
            submitted = submitted.saturating_add(*work);
        }
        ends.push(self.micro_batches * works.len());
        ends
    }
}
