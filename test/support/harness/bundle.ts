import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { removeAtExit } from './cleanup.ts'
import { ROOT } from './program.ts'

/**
 * Bundles the gateway with all its packages into a folder that is deleted at this process's end: hundreds of gateways
 * and commands start in the tests, each by 0.5 instead of 1.7 s of processor.
 *
 * @returns the script; it lies in the repository as src/ does, so that it finds the files which the gateway carries along
 * @throws what esbuild says of the sources
 */
export const bundleProgram = async (): Promise<string> => {
  const outdir = mkdtempSync(join(ROOT, '.test-bundle-'))
  removeAtExit(outdir)
  await build({
    entryPoints: [
      { out: 'cli', in: join(ROOT, 'src/cli.ts') },
      { out: 'sqlite-writer-thread', in: join(ROOT, 'src/store/sqlite/writer-thread.ts') },
    ],
    outdir,
    bundle: true,
    splitting: true,
    // The first has a native module; `pg` asks for the second and goes on without.
    external: ['better-sqlite3', 'pg-native'],
    platform: 'node',
    format: 'esm',
    target: 'node24',
    // Packages in CommonJS ask for Node's own modules by it.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'warning',
  })
  return join(outdir, 'cli.js')
}
