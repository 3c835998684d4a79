import { type Given, UsageError, wholeNumber } from './command.ts'

/** @throws UsageError when a command that takes only flags was given more */
export const noWords = (given: Given): void => {
  const [word] = given.words
  if (word !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(word)}`)
}

/** The ids that a command was given, each once. @throws UsageError when one is none */
export const idsOf = (given: Given): number[] => [
  ...new Set(given.words.map((word) => wholeNumber(word, 'an id', 1, Number.MAX_SAFE_INTEGER))),
]
