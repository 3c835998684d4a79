import type { SeededRandom } from './seeded-random.ts'

/** One piece of work: a task of the captain, and what manager, operator, executor and expert make of it. */
export interface WorkTemplate {
  readonly task: string
  readonly kind: 'query' | 'write' | 'notify'
  readonly action: string
  readonly command: string
  readonly playbook: string
  readonly params: Readonly<Record<string, unknown>>
  /** What the executor brings back; `error` in it: the command has failed. */
  readonly result: Readonly<Record<string, unknown>>
  /** The expert's reading of it, in Markdown. */
  readonly reading: string
}

/** A round: what the captain thinks, the work, what the expert makes of it, and a word between engineer and AI. */
export interface ScenarioRound {
  readonly thought: string
  readonly work: readonly WorkTemplate[]
  /** Markdown. */
  readonly summary: string
  readonly suggestion: string
  readonly question: string
  readonly answer: string
}

/** An incident from its alert to its end. */
export interface Scenario {
  /** Begins the event's id. */
  readonly slug: string
  readonly language: 'en' | 'zh'
  readonly name: string
  readonly severity: string
  readonly source: string
  readonly alert: string
  /** What the engineer on duty says at the beginning. */
  readonly remark: string
  readonly rounds: readonly ScenarioRound[]
  readonly verdict: string
  /** Markdown. */
  readonly closing: string
}

export type WriteScenario = (chance: SeededRandom) => Scenario
