import { relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { run } from 'uvu/run'

/** Suites that wait to be run: one list per file, preceded by the file's name. */
type Queue = [name: string | null, ...suites: unknown[]][]

// Runs the test files given as arguments in this process, one after another.
const files = process.argv.slice(2)

await run(
  // uvu prefixes a path with `file:///`.
  files.map((file) => ({
    name: relative(process.cwd(), file),
    file: pathToFileURL(file).href.slice('file:///'.length),
  })),
)

const groups = (globalThis as unknown as { UVU_QUEUE: Queue }).UVU_QUEUE
for (const [index, file] of files.entries()) {
  if (groups[index]?.length !== 0) continue
  process.stdout.write(`FAIL ${file} has no suite\n`)
  process.exitCode = 1
}
