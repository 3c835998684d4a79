import { useEffect, useRef, useState } from 'preact/hooks'
import type { Samples } from '../../../monitoring/samples.ts'
import { ApiError, api, isDenied } from '../shared/api.ts'
import { renewals } from '../shared/session.ts'
import { healthText as t } from './messages.ts'
import { type HealthAnswer, mergeSamples } from './report.ts'

export interface ReportState {
  /** The last report, with all samples of the hour; null if there is none yet. */
  readonly report: HealthAnswer | null
  /** Error of the last request; null if it succeeded. */
  readonly problem: unknown
  /** Time at which the report was received, in milliseconds since 1970 by the local clock. */
  readonly at: number
  /** Requests a new report immediately. */
  readonly refresh: () => void
}

const POLL_INTERVAL_MS = 3_000
const FAILED_POLL_INTERVAL_MS = 5_000
/** Request timeout in milliseconds: a hung process accepts the connection but never responds. */
const TIMEOUT_MS = 8_000

/** Polls `/api/health` while the tab is visible. */
export const useReport = (): ReportState => {
  const [seen, setSeen] = useState<Omit<ReportState, 'refresh'>>({ report: null, problem: null, at: 0 })
  const refresh = useRef<() => void>(() => undefined)

  useEffect(() => {
    let samples: Samples | null = null
    let since = ''
    let timer = 0
    let running: AbortController | null = null
    let over = false

    const read = async (signal: AbortSignal): Promise<HealthAnswer> => {
      const after = Math.floor(samples?.at.at(-1) ?? 0)
      const { data } = await api<{ data: HealthAnswer }>(`/api/health?samples_after=${after}`, { signal })
      // The gateway was restarted, so samples of the previous process are discarded.
      if (data.sampled_since !== since) {
        since = data.sampled_since
        if (samples !== null) {
          samples = null
          return read(signal)
        }
      }
      samples = mergeSamples(samples, data.samples)
      return { ...data, samples }
    }

    const ask = async (): Promise<void> => {
      clearTimeout(timer)
      if (document.hidden) return
      running?.abort()
      const own = new AbortController()
      running = own
      const late = window.setTimeout(
        () => own.abort(new ApiError(0, { code: 'unreachable', message: t('noAnswer', { n: TIMEOUT_MS / 1_000 }) })),
        TIMEOUT_MS,
      )
      let rest = POLL_INTERVAL_MS
      try {
        const report = await read(own.signal)
        if (!over) setSeen({ report, problem: null, at: Date.now() })
      } catch (problem) {
        // A later request is running, or the component was unmounted.
        if (over || running !== own) return
        setSeen((last) => ({ ...last, problem }))
        rest = isDenied(problem) ? Number.POSITIVE_INFINITY : FAILED_POLL_INTERVAL_MS
      } finally {
        clearTimeout(late)
      }
      if (!over && !document.hidden && rest < Number.POSITIVE_INFINITY) timer = window.setTimeout(ask, rest)
    }

    const look = (): void => {
      clearTimeout(timer)
      void ask()
    }
    refresh.current = () => void ask()
    document.addEventListener('visibilitychange', look)
    const endRenewals = renewals.subscribe(look)
    void ask()
    return () => {
      over = true
      endRenewals()
      clearTimeout(timer)
      running?.abort()
      document.removeEventListener('visibilitychange', look)
    }
  }, [])

  return { ...seen, refresh: () => refresh.current() }
}
