import { useEffect } from 'preact/hooks'
import type { Fault } from '../../../monitoring/health.ts'
import { gatewayPath } from '../base-path.ts'
import type { EdgeStatus } from '../edge/edge-status.ts'
import { signal, useSignalValue } from './signal.ts'

/** The public fields of a fault; `/readyz` returns the others only to operators. */
type PublicFault = Pick<Fault, 'component' | 'code'>

export type GatewayState = (
  | { readonly is: 'unknown' | 'gone' | 'ready' | 'behind' }
  | { readonly is: 'faulty'; readonly faults: readonly PublicFault[] }
) & {
  /** Only at an edge. */
  readonly edge?: EdgeStatus
}

interface ReadinessAnswer {
  readonly data?: { readonly degraded?: true; readonly upstream?: EdgeStatus }
  readonly faults?: PublicFault[]
  readonly upstream?: EdgeStatus
}

/** Last result of `/readyz`. */
const gatewayState = signal<GatewayState>({ is: 'unknown' })

/** A gateway that is gone, or hangs, is shown as such within this time, in milliseconds. */
const DETECTION_MS = 3_000
const TIMEOUT_MS = 1_700
const POLL_INTERVAL_MS = DETECTION_MS - TIMEOUT_MS

const fetchReadiness = async (): Promise<GatewayState> => {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const answer = await fetch(gatewayPath('/readyz'), { signal })
    const { data, faults = [], upstream } = (await answer.json()) as ReadinessAnswer
    const edge = data?.upstream ?? upstream
    const state: GatewayState =
      answer.ok && data ? { is: data.degraded === true ? 'behind' : 'ready' } : { is: 'faulty', faults }
    return edge === undefined ? state : { ...state, edge }
  } catch {
    return { is: 'gone' }
  }
}

const same = (a: GatewayState, b: GatewayState): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Polls `/readyz` while the component is mounted and the tab is visible. */
export const useGatewayState = (): GatewayState => {
  useEffect(() => {
    let timer = 0
    let over = false
    const ask = async (): Promise<void> => {
      clearTimeout(timer)
      const next = document.hidden ? gatewayState.get() : await fetchReadiness()
      if (over) return
      if (!same(next, gatewayState.get())) gatewayState.set(next)
      timer = window.setTimeout(ask, POLL_INTERVAL_MS)
    }
    const back = (): void => void (document.hidden || ask())
    document.addEventListener('visibilitychange', back)
    ask()
    return () => {
      over = true
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', back)
    }
  }, [])
  return useSignalValue(gatewayState)
}
