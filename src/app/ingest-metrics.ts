import type { Logger } from 'pino'
import { errorChainText } from '../core/error-text.ts'
import type { IngestOptions } from '../ingest/ingest.ts'
import { rejectionReason } from '../ingest/rejection-reason.ts'
import type { ChangeNotifier } from '../store/change-notifier.ts'
import type { AppendEntry, AppendResult, MessageStore } from '../store/store.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export type CommitListener = (entries: readonly AppendEntry[], outcomes: readonly AppendResult[]) => void

/**
 * Counts the outcomes of a batch, logs quarantined messages in one line, and notifies the streams if messages were
 * stored.
 */
export const recordCommit =
  ({ metrics, logger, changes }: { metrics: Metrics; logger: Logger; changes: ChangeNotifier }): CommitListener =>
  (entries, outcomes) => {
    let stored = 0
    let duplicates = 0
    const quarantined: Record<string, number> = {}
    for (const [index, { kind }] of outcomes.entries()) {
      const entry = entries[index]!
      const reason = rejectionReason(entry, kind)
      if (reason === null) {
        if (kind === 'stored') stored++
        else duplicates++
      } else {
        metrics.rejected.inc({ reason })
        // One that came over HTTP is not quarantined: its publisher has the error.
        if (entry.kind === 'rejection' || entry.origin !== null) quarantined[reason] = (quarantined[reason] ?? 0) + 1
      }
    }
    if (duplicates > 0) metrics.duplicates.inc(duplicates)
    if (Object.keys(quarantined).length > 0) logger.warn({ reasons: quarantined }, 'messages quarantined')
    if (stored === 0) return
    metrics.stored.inc(stored)
    changes.notify()
  }

/** Creates the callbacks that count and log deletions of the exchange and of bindings. */
export const recordExchange = (
  metrics: Metrics,
  logger: Logger,
): Pick<IngestOptions, 'onExchangeDeleted' | 'onBindingsDeleted' | 'onWatchUnavailable'> => ({
  onExchangeDeleted: () => {
    metrics.exchangeDeletions.inc()
    const hint = 'Messages that were published without the mandatory flag before this moment can be lost.'
    logger.warn({ hint }, 'the exchange was deleted; it is declared and bound again')
  },
  onBindingsDeleted: (deletions) => {
    metrics.bindingDeletions.inc(deletions)
    const hint =
      'While one of the two bindings exists, nothing is lost. If both were deleted, messages that were published without the mandatory flag before this moment can be lost.'
    logger.warn({ deletions, hint }, 'a binding of the queue was deleted; it is declared again')
  },
  onWatchUnavailable: (what, error) => {
    logger.info({ cause: errorChainText(error) }, `deletions of the ${what} cannot be detected`)
  },
})

/** Wraps append of the store to measure the commits. */
export const instrumentAppend =
  (store: MessageStore, metrics: Metrics): MessageStore['append'] =>
  async (entries) => {
    const startedAt = performance.now()
    try {
      const outcomes = await store.append(entries)
      metrics.commitSeconds.observe((performance.now() - startedAt) / 1_000)
      metrics.commitEntries.observe(entries.length)
      return outcomes
    } catch (error) {
      metrics.commitFailures.inc()
      throw error
    }
  }
