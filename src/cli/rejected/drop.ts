import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { noop } from '../../core/noop.ts'
import type { QuarantineFilter } from '../../core/quarantine-filter.ts'
import type { QuarantineAccess } from '../../store/sqlite/quarantine.ts'
import { type CliCommand, EXIT, UsageError } from '../command.ts'
import type { CommandIo } from '../io.ts'
import { FILTER_FLAGS, missingIds, requireFilter, retryWhileBusy, withQuarantine, yieldLock } from './options.ts'

const BATCH = 500

/** Asks for confirmation on the terminal. @returns true for yes; false at the end of the input or on a signal */
const confirm = async (question: string, io: CommandIo): Promise<boolean> => {
  const terminal = createInterface({ input: io.in, output: process.stderr, terminal: false })
  const closed = once(terminal, 'close', { signal: io.signal }).then(() => '')
  try {
    const answer = await Promise.race([terminal.question(question, { signal: io.signal }), closed])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    closed.catch(noop)
    terminal.close()
  }
}

/** `rejected drop`. */
export const dropCommand: CliCommand = {
  name: 'rejected drop',
  summary: 'delete rows from the quarantine permanently',
  usage: ['ID… [flags]', '--all', '--reason CODE,… [flags]'],
  flags: {
    ...FILTER_FLAGS,
    all: { description: 'all rows that exist now' },
    yes: { description: 'do not ask for confirmation; required without a terminal' },
  },
  examples: [
    ['deepsoc-gateway rejected drop 17', 'Delete a row after confirmation'],
    ['deepsoc-gateway rejected drop --reason invalid_json --yes', 'Delete all rows with invalid JSON, without asking'],
  ],
  run: async (args, io) => {
    const filter = requireFilter(args)
    const needsConfirmation = !args.switch('yes')
    if (needsConfirmation && !(io.in.isTTY && io.err.isTerminal)) {
      throw new UsageError('there is no terminal to ask for confirmation; use --yes to skip it')
    }
    return withQuarantine(async ({ quarantine }) => {
      const missing = await missingIds(quarantine, filter)
      for (const id of missing) io.note(`${id} is not in the quarantine.`)
      const { rows, last_rejected_id } = await quarantine.count(filter)
      if (
        rows > 0 &&
        needsConfirmation &&
        !(await confirm(`Delete ${rows} quarantined messages permanently? [y/N] `, io))
      ) {
        io.note('Nothing was deleted.')
        return EXIT.failure
      }
      const deleted = await dropAll(quarantine, filter, { rows, through: last_rejected_id }, io)
      await io.out.write(`${deleted} deleted\n`)
      return missing.length === 0 ? EXIT.ok : EXIT.failure
    })
  },
}

const dropAll = async (
  quarantine: QuarantineAccess,
  filter: QuarantineFilter,
  { rows, through }: { rows: number; through: number },
  io: CommandIo,
): Promise<number> => {
  let deleted = 0
  let after = 0
  while (!io.signal.aborted) {
    const ids = await quarantine.idsAfter(filter, after, through, BATCH)
    if (ids.length === 0) break
    const startedAt = performance.now()
    deleted += await retryWhileBusy(io, () => quarantine.drop(ids))
    after = ids.at(-1)!
    io.progress.show({ label: 'deleting', done: deleted, total: rows, failed: 0 })
    await yieldLock(io, performance.now() - startedAt)
  }
  io.progress.clear()
  return deleted
}
