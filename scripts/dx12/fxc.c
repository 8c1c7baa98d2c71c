/* A command line for FXC, which is available as a library only: d3dcompiler_47.dll.
 *
 *     fxc FILE…
 *
 * Compiles each file for shader model 5.1 with the flags of wgpu's Direct3D 12 backend. Prints a line for each file:
 * its name, the milliseconds taken, and the size of the result. If FXC refuses a file, the size is 0, the messages go
 * to stderr, and the exit code is 1. */

#include <d3dcompiler.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

static void *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;

    *size = 0;
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    if ((text = malloc(*size)) && fread(text, 1, *size, file) != *size)
    {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

int main(int count, char **arguments)
{
    int refused = 0;

    for (int i = 1; i < count; i++)
    {
        size_t size;
        char *text = read_file(arguments[i], &size);
        ID3DBlob *code = NULL, *said = NULL;
        ULONGLONG started = GetTickCount64();
        HRESULT result;

        if (!text)
        {
            fprintf(stderr, "fxc: %s cannot be read\n", arguments[i]);
            return 2;
        }
        result = D3DCompile(text, size, arguments[i], NULL, NULL, "main", "cs_5_1", D3DCOMPILE_ENABLE_STRICTNESS, 0,
                            &code, &said);
        printf("%s %llu %lu\n", arguments[i], GetTickCount64() - started,
               code ? (unsigned long)code->lpVtbl->GetBufferSize(code) : 0);
        fflush(stdout);
        if (FAILED(result))
        {
            refused = 1;
            fprintf(stderr, "%s: %s\n", arguments[i],
                    said ? (const char *)said->lpVtbl->GetBufferPointer(said) : "refused without a message");
        }
        free(text);
    }
    return refused;
}
