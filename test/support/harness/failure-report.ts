import { loadavg } from 'node:os'

type Source = { readonly describe: () => string; ended: boolean }

const sources = new Set<Source>()

/**
 * Adds a text, such as the end of a server's log, to the report of every test that fails while the server exists.
 * @returns a function to call when the server is disposed of; a test that ends its own server is still reported with it
 */
export const reportOnFailure = (describe: () => string): (() => void) => {
  const source = { describe, ended: false }
  sources.add(source)
  return () => {
    source.ended = true
  }
}

/** Removes the servers that earlier tests have ended. */
export const beginTest = (): void => {
  for (const source of sources) if (source.ended) sources.delete(source)
}

/**
 * Prints the error with the machine's load and the texts of `reportOnFailure`; uvu prints it once more, with its stack.
 */
export const printFailure = (what: string, error: Error): void => {
  const load = loadavg().map((average) => average.toFixed(2))
  const texts = [...sources].map(({ describe }) => `--- ${describe()}\n`)
  process.stdout.write(
    `\n--- FAIL ${what}: ${error.message}\n--- load average ${load.join(' ')}\n${texts.join('')}---\n`,
  )
}
