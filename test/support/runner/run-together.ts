import { relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { run } from 'uvu/run'

/** Suites that wait to be run, one list for each file, headed by the file's name. */
type Queue = [name: string | null, ...suites: unknown[]][]

// Runs the test files given as arguments in this one process, one after the other.
const files = process.argv.slice(2)

await run(
  // uvu puts `file:///` before a path.
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
