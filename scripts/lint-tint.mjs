// Compiles WGSL files with Tint, the compiler of Dawn and of Chrome, and creates pipelines from them on Dawn's null
// backend, which needs no driver. Prints one line for each fault; exit code 1 if there is any.
//
//   node scripts/lint-tint.mjs DIRECTORY-OF-webgpu FILE.wgsl…
import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, ...files] = process.argv.slice(2);
const { create } = await import(pathToFileURL(resolve(directory, 'index.js')));
// A global, because Dawn crashes if the object is collected.
globalThis.gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['subgroups'] });

const lines = [];
for (const file of files) {
    let code = readFileSync(file, 'utf8');
    // Tint needs this line for subgroup built-ins; naga refuses it and does not need it.
    if (/\bsubgroup/.test(code.replace(/\/\/.*/g, ''))) {
        code = `enable subgroups;\n${code}`;
    }
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const said = messages.map((m) => `${m.type} at ${m.lineNum}:${m.linePos}: ${m.message}`);
    try {
        await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    } catch (error) {
        said.push(`pipeline: ${error.message}`);
    }
    lines.push(...said.map((line) => `${basename(file)}: ${line}`));
}
const faults = lines.length;
lines.push(`${files.length} shaders, ${faults} faults`);
// Dawn keeps the process alive, so it has to exit here, but only once the output has been written.
process.stdout.write(`${lines.join('\n')}\n`, () => process.exit(faults > 0 || files.length === 0 ? 1 : 0));
