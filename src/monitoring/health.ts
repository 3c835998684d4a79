import { errorChainText } from '../core/error-text.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../core/errors.ts'

/** A condition that keeps the gateway from working fully. */
export interface Fault {
  readonly component: string
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string
  /** Start of the fault, as ISO time. */
  readonly since: string
}

/** Called once per change of state. `fault` is null if the component has recovered. */
export type HealthListener = (component: string, fault: Fault | null) => void

/** Current faults by component. `/readyz` shows them; each change is logged once. */
export class HealthRegistry {
  readonly #faults = new Map<string, Fault>()
  /** Components that have not reported yet. */
  readonly #pending = new Set<string>()
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

  isFailed(component: string): boolean {
    return this.#faults.has(component)
  }

  /**
   * Marks a component that has not reported yet; until it does, the gateway is not ready. This is not logged as a
   * change.
   */
  markPending(component: string, code: ErrorCode, message: string): void {
    this.#pending.add(component)
    this.#faults.set(component, { component, code, message, hint: ERRORS[code].hint, since: new Date().toISOString() })
  }

  /** Marks a component as failed. A failure with the code of the current one only updates its cause: attempts to reach several hosts take turns. */
  markFailed(component: string, error: unknown): void {
    const code = error instanceof GatewayError ? error.code : 'internal'
    const hint = error instanceof GatewayError ? error.hint : ERRORS.internal.hint
    const message = errorChainText(error)
    const current = this.#faults.get(component)
    const isSame = current?.code === code
    const fault = { component, code, message, hint, since: isSame ? current.since : new Date().toISOString() }
    this.#faults.set(component, fault)
    const wasPending = this.#pending.delete(component)
    if (!isSame || wasPending) this.#onChange(component, fault)
  }

  /** Reports the outcome of the component's last attempt: an error, or null if it succeeded. */
  report(component: string, error: unknown): void {
    if (error === null) this.markHealthy(component)
    else this.markFailed(component, error)
  }

  /** Marks a component as working. */
  markHealthy(component: string): void {
    this.#pending.delete(component)
    if (this.#faults.delete(component)) this.#onChange(component, null)
  }
}
