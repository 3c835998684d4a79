import { PHRASES, type Phrases } from './phrases.ts'
import type { Scenario, ScenarioRound, WorkTemplate } from './scenario.ts'
import type { SeededRandom } from './seeded-random.ts'

/** One message of an incident, still without id and timestamp. */
export interface ScriptStep {
  /** Milliseconds after the previous step, at human speed. */
  readonly pause: number
  readonly from: string
  readonly type: string
  readonly round: number | null
  /** `data` of message_content; for chat the whole content except the timestamp. */
  readonly data: unknown
  readonly chat: 'user' | 'ai' | 'system' | null
}

/** JSON.rawJSON, missing in the type declarations: ids of playbooks exceed Number.MAX_SAFE_INTEGER. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

/** Minimum and maximum duration of steps at human speed, in milliseconds. */
const PAUSES = {
  notice: [300, 900],
  model: [3_000, 7_000],
  record: [200, 700],
  run: [1_500, 5_000],
  read: [2_500, 6_000],
  type: [3_500, 8_000],
} as const

/** Errors that occur once in each incident, and from which the team recovers. */
const MISHAPS = [
  'captainFault',
  'managerProse',
  'actionFault',
  'managerFault',
  'operatorProse',
  'commandFault',
  'operatorFault',
  'expertFault',
] as const
type Mishap = (typeof MISHAPS)[number]

interface Ordered extends WorkTemplate {
  readonly task_id: string
  readonly action_id: string
  readonly command_id: string
  readonly entity: { readonly playbook_id: unknown; readonly playbook_name: string }
}

/** Generates the messages of an incident. Deterministic: all variation comes from `chance`. */
export class Incident {
  readonly #event_id: string
  readonly #scenario: Scenario
  readonly #chance: SeededRandom
  readonly #say: Phrases
  readonly #beats: ScriptStep[] = []
  /** The round of each error that has not occurred yet. */
  readonly #mishaps: Map<Mishap, number>
  readonly #engineer: string
  #round = 0

  constructor(scenario: Scenario, event_id: string, chance: SeededRandom) {
    this.#scenario = scenario
    this.#event_id = event_id
    this.#chance = chance
    this.#say = PHRASES[scenario.language]
    this.#engineer = chance.uuid()
    this.#mishaps = new Map(MISHAPS.map((mishap) => [mishap, chance.whole(1, scenario.rounds.length)]))
  }

  /** @returns the messages in order */
  write(): ScriptStep[] {
    const { name, severity, source, alert, remark, rounds } = this.#scenario
    this.#text('system', 'system_notification', `${this.#say.opened(name, severity, source)}\n${alert}`, 'notice', null)
    this.#chat('user', 'user_message', remark)
    for (const [index, round] of rounds.entries()) {
      this.#round = index + 1
      if (index > 0) this.#text('system', 'event_next_round_initiated', this.#say.nextRound(this.#round), 'notice')
      this.#playRound(round)
      if (this.#round < rounds.length) this.#acknowledge()
    }
    this.#complete()
    return this.#beats
  }

  #playRound(round: ScenarioRound): void {
    const works = round.work.map((work) => this.#order(work))
    this.#plan(round, works)
    this.#manage(works)
    this.#operate(works)
    for (const work of works) this.#execute(work)
    this.#chat('user', 'chat', round.question)
    this.#chat('ai', 'chat', round.answer)
    this.#sumUp(round.summary, round.suggestion, 'summarized')
  }

  /** The captain creates tasks. */
  #plan(round: ScenarioRound, works: readonly Ordered[]): void {
    this.#text('system', 'llm_request', this.#say.captainThinks, 'notice')
    this.#mishap('captainFault', '_captain', 'error_internal')
    const tasks = works.map((work) => ({
      task_id: work.task_id,
      task_assignee: '_manager',
      task_type: work.kind,
      task_name: work.task,
    }))
    this.#answer('_captain', 'llm_response', '_manager', 'TASK', { response_text: round.thought, tasks })
  }

  /** The manager creates actions. */
  #manage(works: readonly Ordered[]): void {
    this.#text('system', 'manager_llm_request', this.#say.managerThinks, 'notice')
    this.#mishap('managerProse', '_manager', 'llm_unexpected_response')
    const actions = works.map((work) => ({
      task_id: work.task_id,
      action_name: work.action,
      action_type: work.kind,
      action_assignee: '_operator',
    }))
    this.#answer('_manager', 'manager_llm_response', '_operator', 'ACTION', { actions })
    this.#mishap('managerFault', '_manager', 'error_internal')
    for (const { action_id, task_id, action, kind } of works) {
      const action_details = {
        ...this.#place({ id: null, action_id, task_id }),
        action_name: action,
        action_type: kind,
        action_assignee: '_operator',
        action_status: 'pending',
        action_result: null,
        created_at: null,
        updated_at: null,
      }
      this.#tell('_manager', 'action_created', { text: this.#say.actionCreated(action), action_details }, 'record')
    }
    this.#mishap('actionFault', '_manager', 'error_action_creation')
  }

  /** The operator creates commands. */
  #operate(works: readonly Ordered[]): void {
    this.#text('system', 'operator_llm_request', this.#say.operatorThinks, 'notice')
    this.#mishap('operatorFault', '_operator', 'error_internal')
    this.#mishap('operatorProse', '_operator', 'llm_unexpected_response')
    const commands = works.map((work) => ({
      command_type: 'playbook',
      command_name: work.command,
      command_assignee: '_executor',
      action_id: work.action_id,
      task_id: work.task_id,
      command_entity: work.entity,
      command_params: work.params,
    }))
    this.#answer('_operator', 'operator_llm_response', '_executor', 'COMMAND', { commands })
    this.#mishap('commandFault', '_operator', 'error_command_creation')
    for (const { command_id, action_id, task_id, command, entity, params } of works) {
      const command_details = {
        ...this.#place({ id: null, command_id, action_id, task_id }),
        command_name: command,
        command_type: 'playbook',
        command_entity: entity,
        command_params: params,
        command_status: 'pending',
        command_result: null,
        created_at: null,
        updated_at: null,
      }
      this.#tell('_operator', 'command_created', { text: this.#say.commandCreated(command), command_details }, 'record')
    }
  }

  /** The executor returns a result, and the expert summarizes it. */
  #execute({ command_id, action_id, task_id, command, result, reading }: Ordered): void {
    const status = 'error' in result ? 'failed' : 'completed'
    const ids = { command_id, action_id, task_id }
    const outcome = { command_id, command_type: 'playbook', command_name: command, action_id, task_id, status, result }
    this.#tell('_executor', 'command_result', outcome, 'run')
    this.#text('system', 'expert_llm_request_exec_summary', this.#say.expertReads, 'notice')
    this.#mishap('expertFault', '_expert', 'error_execution_summary')
    const summary = { execution_id: this.#chance.uuid(), ...ids, ai_summary: reading }
    this.#tell('_expert', 'execution_summary_generated', summary, 'read')
  }

  #acknowledge(): void {
    this.#answer('_captain', 'llm_response', '_manager', 'ROGER', { response_text: this.#say.roger, tasks: [] })
    this.#text('_captain', 'llm_roger_response', this.#say.rogerNote, 'record')
  }

  #complete(): void {
    const { verdict, closing } = this.#scenario
    this.#text('system', 'llm_request', this.#say.captainThinks, 'notice')
    this.#answer('_captain', 'llm_response', '_manager', 'MISSION_COMPLETE', { response_text: verdict, tasks: [] })
    this.#text('_captain', 'event_completed_by_captain', this.#say.completed, 'record')
    this.#sumUp(closing, '', 'completed')
    this.#chat('system', 'chat', this.#say.closed)
  }

  #sumUp(event_summary: string, event_suggestion: string, event_status: string): void {
    this.#text('system', 'expert_llm_request_event_summary', this.#say.expertSums, 'notice')
    const data = {
      event_id: this.#event_id,
      event_name: this.#scenario.name,
      event_status,
      round_id: this.#round,
      summary_id: this.#chance.uuid(),
      event_summary,
      event_suggestion,
    }
    this.#tell('_expert', 'event_summary_generated', data, 'read')
  }

  #order(work: WorkTemplate): Ordered {
    const [task_id, action_id, command_id] = [this.#chance.uuid(), this.#chance.uuid(), this.#chance.uuid()]
    // Greater than 2^53, like the ids of DeepSOC's playbooks.
    const digits = `1230254818${this.#chance.whole(1_000_000, 9_999_999)}`
    const entity = { playbook_id: rawJSON(digits), playbook_name: work.playbook }
    return { ...work, task_id, action_id, command_id, entity }
  }

  #place<Ids>(ids: Ids): Ids & { event_id: string; round_id: number } {
    return { ...ids, event_id: this.#event_id, round_id: this.#round }
  }

  /** Adds a language model response of one role to the next. */
  #answer(from: string, type: string, to: string, response_type: string, more: Record<string, unknown>): void {
    const data = {
      type: 'llm_response',
      from,
      to,
      ...this.#place({}),
      event_name: this.#scenario.name,
      response_type,
      ...more,
      req_id: this.#chance.uuid(),
      res_id: this.#chance.uuid(),
    }
    this.#tell(from, type, data, 'model')
  }

  #mishap(mishap: Mishap, from: string, type: string): void {
    if (this.#mishaps.get(mishap) !== this.#round) return
    this.#mishaps.delete(mishap)
    this.#text(from, type, this.#say[mishap], 'model')
  }

  #text(from: string, type: string, text: string, pace: keyof typeof PAUSES, round: number | null = this.#round): void {
    this.#add({ from, type, round, data: { text }, chat: null }, pace)
  }

  #tell(from: string, type: string, data: unknown, pace: keyof typeof PAUSES): void {
    this.#add({ from, type, round: this.#round, data, chat: null }, pace)
  }

  #chat(who: 'user' | 'ai' | 'system', type: string, text: string): void {
    const from = { user: this.#engineer, ai: 'ai_assistant', system: 'system' }[who]
    const data = who === 'user' ? { type: 'text', text } : { content: text }
    this.#add({ from, type, round: null, data, chat: who }, who === 'user' ? 'type' : 'read')
  }

  #add(beat: Omit<ScriptStep, 'pause'>, pace: keyof typeof PAUSES): void {
    const [least, most] = PAUSES[pace]
    this.#beats.push({ pause: this.#chance.whole(least, most), ...beat })
  }
}
