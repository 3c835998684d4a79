import { createRevalidator } from '../../app/quarantine-service.ts'
import { loadConfig } from '../../config/config.ts'
import { GatewayError } from '../../core/errors.ts'
import { findUnknownReason, MATCH_ALL, type QuarantineFilter } from '../../core/quarantine-filter.ts'
import { openQuarantine } from '../../store/open-store.ts'
import type { QuarantineAccess } from '../../store/sqlite/quarantine.ts'
import { type Flags, type ParsedArgs, parseSinceFlag, UsageError } from '../command.ts'
import { type CommandIo, sleep } from '../io.ts'
import { parseIds } from '../positionals.ts'

/** Flags that select rows. */
export const FILTER_FLAGS: Flags = {
  reason: { value: 'CODE,…', multiple: true, description: 'only messages quarantined for these reasons' },
  'routing-key': { value: 'KEY', description: 'only rows with this routing key; * matches any characters' },
  since: {
    value: 'TIME',
    description: 'only rows received since this age or date: 30m, 12h, 7d, 2026-11-22T10:00:00Z',
  },
}

/** @throws UsageError */
export const parseQuarantineFilter = (args: ParsedArgs): QuarantineFilter => {
  const ids = parseIds(args)
  const reasons = args.list('reason')
  const unknown = findUnknownReason(reasons)
  if (unknown !== undefined) {
    throw new UsageError(`--reason ${JSON.stringify(unknown)} is not an error code; docs/OPERATIONS.md lists them.`)
  }
  const since = args.text('since')
  return {
    ids: ids.length === 0 ? null : ids,
    reasons: reasons.length === 0 ? null : reasons,
    routingKey: args.text('routing-key') ?? null,
    since: since === undefined ? null : parseSinceFlag(since, Date.now()),
  }
}

/** Requires ids, a filter or an explicit --all, for commands that change rows. @throws UsageError */
export const requireFilter = (args: ParsedArgs): QuarantineFilter => {
  const filter = parseQuarantineFilter(args)
  const hasCriteria = Object.values(filter).some((part) => part !== null)
  if (args.switch('all')) {
    if (hasCriteria) throw new UsageError('--all cannot be combined with ids or filters')
    return MATCH_ALL
  }
  if (!hasCriteria) throw new UsageError('no rows selected: give ids, a filter such as --reason, or --all')
  return filter
}

export interface OpenQuarantine {
  readonly quarantine: QuarantineAccess
  /** Validates rows as a gateway with this configuration does. */
  readonly revalidate: ReturnType<typeof createRevalidator>
}

/** Opens the quarantine of the configured database for `use`. @throws GatewayError config_invalid, database_* */
export const withQuarantine = async (use: (open: OpenQuarantine) => Promise<number>): Promise<number> => {
  const config = loadConfig()
  const quarantine = await openQuarantine(config)
  try {
    return await use({ quarantine, revalidate: createRevalidator(config) })
  } finally {
    await quarantine.close()
  }
}

/** Maximum time that a write is retried while a gateway holds the lock, in milliseconds. */
const TIMEOUT_MS = 60_000

/**
 * Retries a write until the database is not locked. The pauses are short, so that a signal still ends the command, and
 * random, so that they do not stay in step with a busy gateway.
 *
 * @throws GatewayError storage_busy on timeout
 */
export const retryWhileBusy = async <Result>(io: CommandIo, write: () => Result | Promise<Result>): Promise<Result> => {
  const deadline = Date.now() + TIMEOUT_MS
  while (true) {
    try {
      return await write()
    } catch (error) {
      const isBusy = error instanceof GatewayError && error.code === 'storage_busy'
      if (!isBusy || Date.now() >= deadline || io.signal.aborted) throw error
    }
    await sleep(20 + Math.random() * 80, io.signal)
  }
}

/** Leaves the lock free for as long as it was held, so that the gateway can commit during a long operation. */
export const yieldLock = (io: CommandIo, heldMs: number): Promise<void> => sleep(Math.min(100, heldMs), io.signal)

/** Returns the selected ids that do not exist. */
export const missingIds = async (quarantine: QuarantineAccess, { ids }: QuarantineFilter): Promise<number[]> => {
  if (ids === null) return []
  const existing = new Set(await quarantine.idsAfter({ ...MATCH_ALL, ids }, 0, Number.MAX_SAFE_INTEGER - 1, ids.length))
  return ids.filter((id) => !existing.has(id))
}
