import type { SeededRandom } from './seeded-random.ts'

/** One work item: a task of the captain, with its action, command, result and interpretation. */
export interface WorkTemplate {
  readonly task: string
  readonly kind: 'query' | 'write' | 'notify'
  readonly action: string
  readonly command: string
  readonly playbook: string
  readonly params: Readonly<Record<string, unknown>>
  /** Result of the executor; a member `error` means that the command failed. */
  readonly result: Readonly<Record<string, unknown>>
  /** The expert's interpretation of the result, in Markdown. */
  readonly reading: string
}

/** A round: the captain's thought, the work items, the expert's summary, and a chat between engineer and AI. */
export interface ScenarioRound {
  readonly thought: string
  readonly work: readonly WorkTemplate[]
  /** Markdown. */
  readonly summary: string
  readonly suggestion: string
  readonly question: string
  readonly answer: string
}

/** An incident from the alert to its end. */
export interface Scenario {
  /** Prefix of the event id. */
  readonly slug: string
  readonly language: 'en' | 'zh'
  readonly name: string
  readonly alert: string
  /** First message of the engineer on duty. */
  readonly remark: string
  readonly rounds: readonly ScenarioRound[]
  readonly verdict: string
  /** Markdown. */
  readonly closing: string
}

export type WriteScenario = (random: SeededRandom) => Scenario
