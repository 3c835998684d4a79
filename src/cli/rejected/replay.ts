import type { QuarantineFilter } from '../../core/quarantine-filter.ts'
import type { ReplayResult } from '../../store/store.ts'
import { type CliCommand, EXIT } from '../command.ts'
import type { CommandIo } from '../io.ts'
import { escapeForTerminal, visibleJson } from '../terminal/escape.ts'
import {
  FILTER_FLAGS,
  missingIds,
  type OpenQuarantine,
  requireFilter,
  retryWhileBusy,
  withQuarantine,
  yieldLock,
} from './options.ts'

interface ReplayCounts {
  done: number
  stored: number
  duplicate: number
  kept: number
  gone: number
}

const toJson = (rejected_id: number, outcome: ReplayResult): string => {
  if (outcome.kind !== 'stored' && outcome.kind !== 'duplicate') return JSON.stringify({ rejected_id, ...outcome })
  const { kind, db_id, message } = outcome
  return JSON.stringify({ rejected_id, kind, db_id, event_id: message.event_id, message_id: message.message_id })
}

const formatResult = (rejected_id: number, outcome: ReplayResult): string => {
  switch (outcome.kind) {
    case 'stored':
      return `${rejected_id} stored as db_id ${outcome.db_id} in ${escapeForTerminal(outcome.message.event_id)}`
    case 'duplicate':
      return `${rejected_id} was already stored as db_id ${outcome.db_id} in ${escapeForTerminal(outcome.message.event_id)}`
    case 'kept':
      return `${rejected_id} is still invalid: ${outcome.reason}, ${escapeForTerminal(outcome.detail)}`
    case 'gone':
      return `${rejected_id} is gone`
  }
}

/** `rejected replay`. */
export const replayCommand: CliCommand = {
  name: 'rejected replay',
  summary: 'validate rows again and store the ones that pass',
  usage: ['ID… [flags]', '--all', '--reason CODE,… [flags]'],
  about: `A row leaves the quarantine in the transaction that stores its message. A row that is still invalid stays, with
its current reason. Works while a gateway uses the same database; its subscribers get the messages within a second.`,
  finishesUnread: true,
  flags: {
    ...FILTER_FLAGS,
    all: { description: 'all rows that exist now' },
    json: { description: 'print the result of each row as a JSON object, one per line' },
  },
  examples: [
    ['deepsoc-gateway rejected replay 17 18', 'Replay two rows'],
    [
      'deepsoc-gateway rejected replay --reason message_unstorable --since 1d',
      'Replay the messages of the last day that could not be stored',
    ],
    ['deepsoc-gateway rejected replay --all --json', 'Replay all rows and print each result'],
  ],
  run: async (args, io) => {
    const filter = requireFilter(args)
    const print = !args.switch('json')
      ? formatResult
      : io.out.isTerminal
        ? (id: number, outcome: ReplayResult) => visibleJson(toJson(id, outcome))
        : toJson
    return withQuarantine(async (open) => {
      const { quarantine } = open
      const missing = await missingIds(quarantine, filter)
      for (const id of missing) io.note(`${id} is not in the quarantine.`)
      const counts = await replayAll(open, filter, print, io)
      const { stored, duplicate, kept, gone } = counts
      io.note(
        `${stored} stored, ${duplicate} already stored, ${kept} still invalid, ${gone + missing.length} gone${io.signal.aborted ? '; interrupted' : ''}.`,
      )
      return kept + missing.length === 0 ? EXIT.ok : EXIT.failure
    })
  },
}

const replayAll = async (
  { quarantine, revalidate }: OpenQuarantine,
  filter: QuarantineFilter,
  print: (id: number, outcome: ReplayResult) => string,
  io: CommandIo,
): Promise<ReplayCounts> => {
  const counts: ReplayCounts = { done: 0, stored: 0, duplicate: 0, kept: 0, gone: 0 }
  // Rows that are quarantined from now on are not replayed.
  const { rows: total, last_rejected_id: through } = await quarantine.count(filter)
  let after = 0
  while (!io.signal.aborted) {
    const rows = await quarantine.after(filter, after, through)
    if (rows.length === 0) break
    const replays = revalidate(rows)
    const startedAt = performance.now()
    const outcomes = await retryWhileBusy(io, () => quarantine.replay(replays))
    const durationMs = performance.now() - startedAt
    for (const outcome of outcomes) counts[outcome.kind]++
    counts.done += rows.length
    after = rows.at(-1)!.rejected_id
    io.progress.clear()
    await io.out.write(outcomes.map((outcome, index) => `${print(rows[index]!.rejected_id, outcome)}\n`).join(''))
    io.progress.show({ label: 'replaying', done: counts.done, total, failed: counts.kept })
    await yieldLock(io, durationMs)
  }
  io.progress.clear()
  return counts
}
