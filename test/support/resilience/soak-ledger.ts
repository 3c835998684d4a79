import type { Outcome, Violation } from './oracle.ts'

/** One fault that was injected. Times are in milliseconds; null if that was not awaited. */
export type Round = {
  readonly round: number
  /** The fault, and the kill that met it. */
  readonly kinds: readonly string[]
  readonly lasts: boolean
  readonly heldMs: number
  /** How long its end took: a process that starts, for example. */
  readonly endMs: number
  /** Until each publisher has had a confirmation again, from the end of the fault. */
  readonly goesOnMs: number
  readonly namedMs: number | null
  readonly clearedMs: number | null
  /** In a cluster: the longest time without a new message on any stream. */
  readonly silentMs?: number
  /** What was violated, and the log of the gateway since the fault began; null if nothing was. */
  readonly error: string | null
}

export type Ledger = {
  readonly seed: number
  readonly workers: number
  readonly seconds: number
  readonly rounds: readonly Round[]
  readonly outcome: Outcome
  readonly reconnects: number
  /** From the oracle. */
  readonly violations: readonly Violation[]
  /** The command that repeats this run. */
  readonly command: string
}

/** True if nothing is lost or duplicated, and each fault was reported and cleared in time. */
export const isClean = ({ rounds, violations }: Ledger): boolean =>
  violations.length === 0 && rounds.every(({ error }) => error === null)

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

export const renderRound = ({
  round,
  kinds,
  lasts,
  heldMs,
  endMs,
  namedMs,
  clearedMs,
  goesOnMs,
  silentMs,
  error,
}: Round): string => {
  const parts = [
    `round ${round}`,
    kinds.join(' with '),
    lasts ? 'until it was reported' : 'briefly',
    `held ${seconds(heldMs)}`,
    `ended in ${seconds(endMs)}`,
    ...(namedMs === null ? [] : [`reported after ${seconds(namedMs)}`]),
    ...(clearedMs === null ? [] : [`cleared after ${seconds(clearedMs)}`]),
    `published again after ${seconds(goesOnMs)}`,
    ...(silentMs === undefined ? [] : [`no message for ${seconds(silentMs)}`]),
    ...(error === null ? [] : [`VIOLATION ${error}`]),
  ]
  return parts.join(', ')
}

/** Of each fault of a cluster, the longest times without a new message on any stream. */
const silences = (rounds: readonly Round[]): [string, string][] => {
  const measured = rounds.filter(({ silentMs }) => silentMs !== undefined)
  const kinds = Map.groupBy(measured, ({ kinds }) => kinds.join(' with '))
  const shown = [...kinds].map(([kind, of]) => {
    const sorted = of.map(({ silentMs = 0 }) => silentMs).sort((a, b) => a - b)
    return `${kind} ${seconds(sorted[sorted.length >> 1]!)}, at most ${seconds(sorted.at(-1)!)}`
  })
  return shown.length === 0 ? [] : [['without a message', shown.join('; ')]]
}

/** Returns the ledger as lines of text. */
export const renderLedger = (ledger: Ledger): string => {
  const { seed, workers, outcome, rounds, violations, reconnects, command } = ledger
  const { confirmed, invalid, rows, quarantined, readers } = outcome
  const kinds = Map.groupBy(
    rounds.flatMap((round) => round.kinds),
    (kind) => kind,
  )
  const counted = (clause: Violation['clause']): number => violations.filter((one) => one.clause === clause).length
  const lines: [string, string | number][] = [
    ['seed', seed],
    ['workers', workers],
    ['seconds', Math.round(ledger.seconds)],
    ['rounds', rounds.length],
    ['messages confirmed', confirmed.length + invalid.length],
    ['rows', rows.length],
    ['quarantined', quarantined.length],
    ['duplicates', counted('duplicate')],
    ['losses', counted('lost')],
    ['readers', `${readers.length}, with ${readers.reduce((sum, { ids }) => sum + ids.length, 0)} messages`],
    ['reconnects', reconnects],
    ['integrity_check', outcome.integrity],
    ['faults', [...kinds].map(([kind, of]) => `${kind} ${of.length}`).join(', ')],
    ...silences(rounds),
  ]
  const wrong = [
    ...violations.map(({ clause, text }) => `VIOLATION ${clause}: ${text}`),
    ...rounds.filter(({ error }) => error !== null).map(renderRound),
  ]
  return [
    ...lines.map(([name, value]) => `${name.padEnd(20)}${value}`),
    ...wrong,
    isClean(ledger) ? 'ok' : `repeat it with: ${command}`,
  ].join('\n')
}
