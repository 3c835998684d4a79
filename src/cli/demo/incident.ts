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
  readonly addChat: 'user' | 'ai' | 'system' | null
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
const FAILURES = [
  'captainFault',
  'managerProse',
  'actionFault',
  'managerFault',
  'operatorProse',
  'commandFault',
  'operatorFault',
  'expertFault',
] as const
type Failure = (typeof FAILURES)[number]

interface WorkItem extends WorkTemplate {
  readonly task_id: string
  readonly action_id: string
  readonly command_id: string
  readonly entity: { readonly playbook_id: unknown; readonly playbook_name: string }
}

/** Generates the messages of an incident. Deterministic: all variation comes from `chance`. */
export class Incident {
  readonly #event_id: string
  readonly #scenario: Scenario
  readonly #random: SeededRandom
  readonly #phrases: Phrases
  readonly #steps: ScriptStep[] = []
  /** The round of each error that has not occurred yet. */
  readonly #failures: Map<Failure, number>
  readonly #engineer: string
  #round = 0

  constructor(scenario: Scenario, event_id: string, random: SeededRandom) {
    this.#scenario = scenario
    this.#event_id = event_id
    this.#random = random
    this.#phrases = PHRASES[scenario.language]
    this.#engineer = random.uuid()
    this.#failures = new Map(FAILURES.map((failure) => [failure, random.integer(1, scenario.rounds.length)]))
  }

  /** @returns the messages in order */
  write(): ScriptStep[] {
    const { name, severity, source, alert, remark, rounds } = this.#scenario
    this.#addText(
      'system',
      'system_notification',
      `${this.#phrases.opened(name, severity, source)}\n${alert}`,
      'notice',
      null,
    )
    this.#addChat('user', 'user_message', remark)
    for (const [index, round] of rounds.entries()) {
      this.#round = index + 1
      if (index > 0)
        this.#addText('system', 'event_next_round_initiated', this.#phrases.nextRound(this.#round), 'notice')
      this.#playRound(round)
      if (this.#round < rounds.length) this.#acknowledge()
    }
    this.#complete()
    return this.#steps
  }

  #playRound(round: ScenarioRound): void {
    const items = round.work.map((work) => this.#assignIds(work))
    this.#plan(round, items)
    this.#manage(items)
    this.#operate(items)
    for (const work of items) this.#execute(work)
    this.#addChat('user', 'chat', round.question)
    this.#addChat('ai', 'chat', round.answer)
    this.#summarize(round.summary, round.suggestion, 'summarized')
  }

  /** The captain creates tasks. */
  #plan(round: ScenarioRound, items: readonly WorkItem[]): void {
    this.#addText('system', 'llm_request', this.#phrases.captainThinks, 'notice')
    this.#addFailure('captainFault', '_captain', 'error_internal')
    const tasks = items.map((work) => ({
      task_id: work.task_id,
      task_assignee: '_manager',
      task_type: work.kind,
      task_name: work.task,
    }))
    this.#addResponse('_captain', 'llm_response', '_manager', 'TASK', { response_text: round.thought, tasks })
  }

  /** The manager creates actions. */
  #manage(items: readonly WorkItem[]): void {
    this.#addText('system', 'manager_llm_request', this.#phrases.managerThinks, 'notice')
    this.#addFailure('managerProse', '_manager', 'llm_unexpected_response')
    const actions = items.map((work) => ({
      task_id: work.task_id,
      action_name: work.action,
      action_type: work.kind,
      action_assignee: '_operator',
    }))
    this.#addResponse('_manager', 'manager_llm_response', '_operator', 'ACTION', { actions })
    this.#addFailure('managerFault', '_manager', 'error_internal')
    for (const { action_id, task_id, action, kind } of items) {
      const action_details = {
        ...this.#withContext({ id: null, action_id, task_id }),
        action_name: action,
        action_type: kind,
        action_assignee: '_operator',
        action_status: 'pending',
        action_result: null,
        created_at: null,
        updated_at: null,
      }
      this.#addData(
        '_manager',
        'action_created',
        { text: this.#phrases.actionCreated(action), action_details },
        'record',
      )
    }
    this.#addFailure('actionFault', '_manager', 'error_action_creation')
  }

  /** The operator creates commands. */
  #operate(items: readonly WorkItem[]): void {
    this.#addText('system', 'operator_llm_request', this.#phrases.operatorThinks, 'notice')
    this.#addFailure('operatorFault', '_operator', 'error_internal')
    this.#addFailure('operatorProse', '_operator', 'llm_unexpected_response')
    const commands = items.map((work) => ({
      command_type: 'playbook',
      command_name: work.command,
      command_assignee: '_executor',
      action_id: work.action_id,
      task_id: work.task_id,
      command_entity: work.entity,
      command_params: work.params,
    }))
    this.#addResponse('_operator', 'operator_llm_response', '_executor', 'COMMAND', { commands })
    this.#addFailure('commandFault', '_operator', 'error_command_creation')
    for (const { command_id, action_id, task_id, command, entity, params } of items) {
      const command_details = {
        ...this.#withContext({ id: null, command_id, action_id, task_id }),
        command_name: command,
        command_type: 'playbook',
        command_entity: entity,
        command_params: params,
        command_status: 'pending',
        command_result: null,
        created_at: null,
        updated_at: null,
      }
      this.#addData(
        '_operator',
        'command_created',
        { text: this.#phrases.commandCreated(command), command_details },
        'record',
      )
    }
  }

  /** The executor returns a result, and the expert summarizes it. */
  #execute({ command_id, action_id, task_id, command, result, reading }: WorkItem): void {
    const status = 'error' in result ? 'failed' : 'completed'
    const ids = { command_id, action_id, task_id }
    const outcome = { command_id, command_type: 'playbook', command_name: command, action_id, task_id, status, result }
    this.#addData('_executor', 'command_result', outcome, 'run')
    this.#addText('system', 'expert_llm_request_exec_summary', this.#phrases.expertReads, 'notice')
    this.#addFailure('expertFault', '_expert', 'error_execution_summary')
    const summary = { execution_id: this.#random.uuid(), ...ids, ai_summary: reading }
    this.#addData('_expert', 'execution_summary_generated', summary, 'read')
  }

  #acknowledge(): void {
    this.#addResponse('_captain', 'llm_response', '_manager', 'ROGER', {
      response_text: this.#phrases.roger,
      tasks: [],
    })
    this.#addText('_captain', 'llm_roger_response', this.#phrases.rogerNote, 'record')
  }

  #complete(): void {
    const { verdict, closing } = this.#scenario
    this.#addText('system', 'llm_request', this.#phrases.captainThinks, 'notice')
    this.#addResponse('_captain', 'llm_response', '_manager', 'MISSION_COMPLETE', { response_text: verdict, tasks: [] })
    this.#addText('_captain', 'event_completed_by_captain', this.#phrases.completed, 'record')
    this.#summarize(closing, '', 'completed')
    this.#addChat('system', 'chat', this.#phrases.closed)
  }

  #summarize(event_summary: string, event_suggestion: string, event_status: string): void {
    this.#addText('system', 'expert_llm_request_event_summary', this.#phrases.expertSums, 'notice')
    const data = {
      event_id: this.#event_id,
      event_name: this.#scenario.name,
      event_status,
      round_id: this.#round,
      summary_id: this.#random.uuid(),
      event_summary,
      event_suggestion,
    }
    this.#addData('_expert', 'event_summary_generated', data, 'read')
  }

  #assignIds(work: WorkTemplate): WorkItem {
    const [task_id, action_id, command_id] = [this.#random.uuid(), this.#random.uuid(), this.#random.uuid()]
    // Greater than 2^53, like the ids of DeepSOC's playbooks.
    const digits = `1230254818${this.#random.integer(1_000_000, 9_999_999)}`
    const entity = { playbook_id: rawJSON(digits), playbook_name: work.playbook }
    return { ...work, task_id, action_id, command_id, entity }
  }

  #withContext<Ids>(ids: Ids): Ids & { event_id: string; round_id: number } {
    return { ...ids, event_id: this.#event_id, round_id: this.#round }
  }

  /** Adds a language model response of one role to the next. */
  #addResponse(from: string, type: string, to: string, response_type: string, fields: Record<string, unknown>): void {
    const data = {
      type: 'llm_response',
      from,
      to,
      ...this.#withContext({}),
      event_name: this.#scenario.name,
      response_type,
      ...fields,
      req_id: this.#random.uuid(),
      res_id: this.#random.uuid(),
    }
    this.#addData(from, type, data, 'model')
  }

  #addFailure(failure: Failure, from: string, type: string): void {
    if (this.#failures.get(failure) !== this.#round) return
    this.#failures.delete(failure)
    this.#addText(from, type, this.#phrases[failure], 'model')
  }

  #addText(
    from: string,
    type: string,
    text: string,
    pace: keyof typeof PAUSES,
    round: number | null = this.#round,
  ): void {
    this.#addStep({ from, type, round, data: { text }, addChat: null }, pace)
  }

  #addData(from: string, type: string, data: unknown, pace: keyof typeof PAUSES): void {
    this.#addStep({ from, type, round: this.#round, data, addChat: null }, pace)
  }

  #addChat(role: 'user' | 'ai' | 'system', type: string, text: string): void {
    const from = { user: this.#engineer, ai: 'ai_assistant', system: 'system' }[role]
    const data = role === 'user' ? { type: 'text', text } : { content: text }
    this.#addStep({ from, type, round: null, data, addChat: role }, role === 'user' ? 'type' : 'read')
  }

  #addStep(step: Omit<ScriptStep, 'pause'>, pace: keyof typeof PAUSES): void {
    const [min, max] = PAUSES[pace]
    this.#steps.push({ pause: this.#random.integer(min, max), ...step })
  }
}
