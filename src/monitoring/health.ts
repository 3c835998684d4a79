import { errorChainText } from '../core/error-text.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../core/errors.ts'

/** Something that keeps the gateway from doing its whole work. */
export interface Fault {
  readonly component: string
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string
  /** ISO time at which it began. */
  readonly since: string
}

/** Told of every change of state, once. `fault` is null when the component works again. */
export type HealthListener = (component: string, fault: Fault | null) => void

/** What is missing right now, by component. `/readyz` shows it; each change is one log line. */
export class HealthRegistry {
  readonly #faults = new Map<string, Fault>()
  readonly #onChange: HealthListener

  constructor(onChange: HealthListener) {
    this.#onChange = onChange
  }

  get ready(): boolean {
    return this.#faults.size === 0
  }

  get faults(): Fault[] {
    return [...this.#faults.values()]
  }

  /** The component has not said anything yet; until it does, the gateway is not ready. No change, so no log line. */
  markPending(component: string, code: ErrorCode, message: string): void {
    this.#faults.set(component, { component, code, message, hint: ERRORS[code].hint, since: new Date().toISOString() })
  }

  /** The component does not work, for this reason. Saying the same again changes nothing. */
  markFailed(component: string, error: unknown): void {
    const code = error instanceof GatewayError ? error.code : 'internal'
    const hint = error instanceof GatewayError ? error.hint : ERRORS.internal.hint
    const message = errorChainText(error)
    const known = this.#faults.get(component)
    if (known?.code === code && known.message === message) return
    const since = known?.code === code ? known.since : new Date().toISOString()
    const fault = { component, code, message, hint, since }
    this.#faults.set(component, fault)
    this.#onChange(component, fault)
  }

  /** Reports the outcome of the component's last attempt: an error, or null if it succeeded. */
  report(component: string, error: unknown): void {
    if (error === null) this.markHealthy(component)
    else this.markFailed(component, error)
  }

  /** The component works. */
  markHealthy(component: string): void {
    if (this.#faults.delete(component)) this.#onChange(component, null)
  }
}
