import { useEffect, useRef, useState } from 'preact/hooks'
import type { QuarantineCounts } from '../../../http/routes/health-report.ts'
import type { ReplayOutcome } from '../../../http/routes/quarantine.ts'
import { api } from '../shared/api.ts'
import { renewals } from '../shared/session.ts'
import { useSignalValue } from '../shared/signal.ts'
import type { QuarantineLine } from './report.ts'

/** Rows per page. */
const PAGE = 20
/** Maximum rows per request. */
const MAX_ROWS = 200

interface Page {
  readonly data: readonly QuarantineLine[]
  readonly has_more: boolean
}

/** The rows that were loaded for a reason; null for all reasons. */
interface LoadedRows extends Page {
  readonly reason: string | null
}

interface BulkPage {
  readonly data: readonly ReplayOutcome[]
  readonly has_more: boolean
  readonly after: number
  readonly through: number
}

/** Number of rows of a bulk replay by outcome. */
type ReplayCounts = Readonly<Record<ReplayOutcome['kind'], number>>

/** Result of an action. */
export type Result =
  | { readonly key: number; readonly is: 'replayed'; readonly outcome: ReplayOutcome }
  | { readonly key: number; readonly is: 'dropped'; readonly id: number }
  | { readonly key: number; readonly is: 'failed'; readonly id: number | null; readonly error: unknown }
  | { readonly key: number; readonly is: 'bulk'; readonly tally: ReplayCounts; readonly stopped: boolean }

/** A result without its key; a distributive type, so that each kind keeps its fields. */
type Outcome<R = Result> = R extends Result ? Omit<R, 'key'> : never

/** Number of results that are displayed. */
const MAX_RESULTS = 5

export interface QuarantineView {
  readonly rows: readonly QuarantineLine[]
  readonly hasMore: boolean
  readonly problem: unknown
  readonly results: readonly Result[]
  /** Ids of rows with an action in progress. */
  readonly busy: ReadonlySet<number>
  /** Rows processed by the running bulk replay; null if none is running. */
  readonly bulk: number | null
  readonly more: () => void
  /** Loads the rows again after a problem. */
  readonly retry: () => void
  readonly replay: (id: number) => Promise<void>
  readonly drop: (id: number) => Promise<void>
  readonly replayAll: () => Promise<void>
  readonly stop: () => void
}

const query = (reason: string | null): string => (reason === null ? '' : `&reason=${encodeURIComponent(reason)}`)

/**
 * Loads the rows of one reason, or all rows, and provides the actions on them.
 *
 * @param count the list is reloaded when it changes
 * @param changed called after each action, so that the metrics are refreshed
 */
export const useQuarantine = (
  reason: string | null,
  count: QuarantineCounts | null,
  changed: () => void,
): QuarantineView => {
  const [page, setPage] = useState<LoadedRows>({ reason, data: [], has_more: false })
  const [problem, setProblem] = useState<unknown>(null)
  const [results, setResults] = useState<readonly Result[]>([])
  const [busy, setBusy] = useState<ReadonlySet<number>>(new Set())
  const [bulk, setBulk] = useState<number | null>(null)
  const stopped = useRef(false)
  const keys = useRef(0)
  const reading = useRef(0)

  const tell = (outcome: Outcome): void =>
    setResults((last) => [{ ...outcome, key: ++keys.current } as Result, ...last].slice(0, MAX_RESULTS))

  const shown: Page = page.reason === reason ? page : { data: [], has_more: false }
  const wanted = useRef({ reason, rows: PAGE })
  if (wanted.current.reason !== reason) wanted.current = { reason, rows: PAGE }

  /** Loads as many of the newest rows as are wanted. */
  const read = async (): Promise<void> => {
    const turn = ++reading.current
    const { reason, rows } = wanted.current
    let data: readonly QuarantineLine[] = []
    let has_more = true
    try {
      while (has_more && data.length < rows) {
        const limit = Math.min(MAX_ROWS, rows - data.length)
        const before = data.length === 0 ? '' : `&before=${data.at(-1)!.rejected_id}`
        const next = await api<Page>(`/api/rejected?limit=${limit}${before}${query(reason)}`)
        // Ignore the response if a later request was sent.
        if (turn !== reading.current) return
        data = [...data, ...next.data]
        has_more = next.has_more
      }
      setPage({ reason, data, has_more })
      setProblem(null)
    } catch (error) {
      if (turn === reading.current) setProblem(error)
    }
  }

  const more = (): void => {
    wanted.current.rows = shown.data.length + PAGE
    void read()
  }

  const signature = JSON.stringify(count)
  const renewed = useSignalValue(renewals)
  useEffect(() => void read(), [reason, signature, renewed])

  const acting = async (
    id: number,
    act: () => Promise<Outcome>,
    goes: (outcome: Outcome) => boolean,
  ): Promise<void> => {
    setBusy((last) => new Set(last).add(id))
    try {
      const outcome = await act()
      if (goes(outcome)) setPage((last) => ({ ...last, data: last.data.filter((row) => row.rejected_id !== id) }))
      tell(outcome)
    } catch (error) {
      tell({ is: 'failed', id, error })
    }
    setBusy((last) => new Set([...last].filter((one) => one !== id)))
    changed()
  }

  const replay = (id: number): Promise<void> =>
    acting(
      id,
      async () => ({
        is: 'replayed',
        outcome: (await api<{ data: ReplayOutcome }>(`/api/rejected/${id}/replay`, { method: 'POST' })).data,
      }),
      (outcome) => outcome.is === 'replayed' && outcome.outcome.kind !== 'kept',
    )

  const drop = (id: number): Promise<void> =>
    acting(
      id,
      async () => {
        const { data } = await api<{ data: { dropped: boolean } }>(`/api/rejected/${id}`, { method: 'DELETE' })
        return data.dropped ? { is: 'dropped', id } : { is: 'replayed', outcome: { rejected_id: id, kind: 'gone' } }
      },
      () => true,
    )

  const replayAll = async (): Promise<void> => {
    const tally = { stored: 0, duplicate: 0, kept: 0, gone: 0 }
    stopped.current = false
    setBulk(0)
    try {
      let from = ''
      for (let goOn = true; goOn && !stopped.current; ) {
        const which = reason === null ? 'all=true' : query(reason).slice(1)
        const done = await api<BulkPage>(`/api/rejected/replay?${which}${from}`, { method: 'POST' })
        for (const { kind } of done.data) tally[kind]++
        setBulk(tally.stored + tally.duplicate + tally.kept + tally.gone)
        from = `&after=${done.after}&through=${done.through}`
        goOn = done.has_more
      }
      tell({ is: 'bulk', tally, stopped: stopped.current })
    } catch (error) {
      tell({ is: 'bulk', tally, stopped: true })
      tell({ is: 'failed', id: null, error })
    }
    setBulk(null)
    await read()
    changed()
  }

  return {
    rows: shown.data,
    hasMore: shown.has_more,
    problem,
    results,
    busy,
    bulk,
    more,
    retry: () => void read(),
    replay,
    drop,
    replayAll,
    stop: () => {
      stopped.current = true
    },
  }
}
