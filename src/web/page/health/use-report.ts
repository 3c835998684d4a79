import { useEffect, useRef, useState } from 'preact/hooks'
import type { Samples } from '../../../monitoring/samples.ts'
import { ApiError, api } from '../shared/api.ts'
import { healthText as t } from './messages.ts'
import { type HealthAnswer, mergeSamples } from './report.ts'

export interface ReportState {
  /** The last one that came, with all samples of the hour; null: none yet. */
  readonly report: HealthAnswer | null
  /** Why the last question was not answered; null: it was. */
  readonly problem: unknown
  /** When the report came: milliseconds since 1970 by this machine. */
  readonly at: number
  /** Asks at once. */
  readonly refresh: () => void
}

const REST_MS = 3_000
const REST_IN_TROUBLE_MS = 5_000
/** Who takes longer is as good as gone: a process that hangs refuses nothing. */
const TIMEOUT_MS = 8_000

/** Who may not know will not be told in three seconds either. */
const isFinal = (error: unknown): boolean => error instanceof ApiError && (error.status === 403 || error.status === 401)

/** The gateway's state, asked for again and again while somebody looks at the tab. */
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
      // Another process has another memory: what was seen of the one before is not its own.
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
      let rest = REST_MS
      try {
        const report = await read(own.signal)
        if (!over) setSeen({ report, problem: null, at: Date.now() })
      } catch (problem) {
        // A later question is under way, or nobody is there any more.
        if (over || running !== own) return
        setSeen((last) => ({ ...last, problem }))
        rest = isFinal(problem) ? Number.POSITIVE_INFINITY : REST_IN_TROUBLE_MS
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
    void ask()
    return () => {
      over = true
      clearTimeout(timer)
      running?.abort()
      document.removeEventListener('visibilitychange', look)
    }
  }, [])

  return { ...seen, refresh: () => refresh.current() }
}
