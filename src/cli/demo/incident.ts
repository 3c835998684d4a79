import { FAILURES, type Failure, failureData } from './failures.ts'
import { PHRASES, type Phrases } from './phrases.ts'
import type { Scenario, ScenarioRound, WorkTemplate } from './scenario.ts'
import type { SeededRandom } from './seeded-random.ts'
import { PAUSES, type ScriptStep } from './step.ts'

/** JSON.rawJSON, missing in the type declarations: ids of playbooks exceed Number.MAX_SAFE_INTEGER. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

/** The captain names a specialist by the kind of the task; the manager acts on all of them. */
const ASSIGNEES = { query: '_analyst', write: '_responder', notify: '_coordinator' } as const

interface WorkItem extends WorkTemplate {
  readonly task_id: string
  readonly action_id: string
  readonly command_id: string
  readonly entity: { readonly playbook_id: unknown; readonly playbook_name: string }
}

/** Generates the messages of an incident. Deterministic: all variation comes from `random`. */
export class Incident {
  readonly #event_id: string
  readonly #scenario: Scenario
  readonly #random: SeededRandom
  readonly #phrases: Phrases
  readonly #steps: ScriptStep[] = []
  /** The round of each error that has not occurred yet. */
  readonly #failures: Map<Failure, number>
  readonly #engineer: { readonly id: string; readonly nickname: string }
  readonly #session: string
  /** Version of the newest summary of the event; null before the first one. */
  #summary: string | null = null
  #round = 0

  constructor(scenario: Scenario, event_id: string, random: SeededRandom) {
    this.#scenario = scenario
    this.#event_id = event_id
    this.#random = random
    this.#phrases = PHRASES[scenario.language]
    this.#engineer = { id: random.uuid(), nickname: random.pick(this.#phrases.engineers) }
    this.#session = `chat_${random.hex(8)}_${random.hex(8)}`
    const failures = Object.keys(FAILURES) as Failure[]
    this.#failures = new Map(failures.map((failure) => [failure, random.integer(1, scenario.rounds.length)]))
  }

  /** @returns the messages in order */
  write(): ScriptStep[] {
    const { name, remark, rounds } = this.#scenario
    this.#round = 1
    this.#addData('system', 'system_notification', { response_text: this.#phrases.opened(name) }, 'notice')
    this.#addLine(remark)
    for (const [index, round] of rounds.entries()) {
      this.#round = index + 1
      if (index > 0) this.#nextRound()
      this.#playRound(round)
      if (this.#round < rounds.length) this.#acknowledge()
    }
    this.#complete()
    return this.#steps
  }

  #nextRound(): void {
    const data = {
      event_id: this.#event_id,
      event_name: this.#scenario.name,
      previous_round_id: this.#round - 1,
      new_round_id: this.#round,
      text: this.#phrases.nextRound(this.#round),
    }
    this.#addData('system', 'event_next_round_initiated', data, 'notice')
  }

  #playRound(round: ScenarioRound): void {
    const items = round.work.map((work) => this.#assignIds(work))
    this.#plan(round, items)
    this.#manage(items)
    this.#operate(items)
    for (const work of items) this.#execute(work)
    this.#addChat('user', this.#engineer.id, round.question)
    this.#addChat('ai', 'ai_assistant', round.answer)
    this.#summarize(round.summary, round.suggestion, 'summarized')
  }

  /** The captain creates tasks. */
  #plan(round: ScenarioRound, items: readonly WorkItem[]): void {
    this.#addText('system', 'llm_request', this.#phrases.captainThinks, 'notice')
    this.#addFailure('captainFault')
    const tasks = items.map((work) => ({
      task_assignee: ASSIGNEES[work.kind],
      task_type: work.kind,
      task_name: work.task,
    }))
    // The alert is part of the prompt, so the captain's first analysis begins with it.
    const response_text = this.#round === 1 ? `${this.#scenario.alert}\n${round.thought}` : round.thought
    const event_name = this.#scenario.name
    this.#addResponse('_captain', 'llm_response', '_manager', 'TASK', { event_name, response_text, tasks })
  }

  /** The manager creates actions. */
  #manage(items: readonly WorkItem[]): void {
    this.#addText('system', 'manager_llm_request', this.#phrases.managerThinks, 'notice')
    this.#addFailure('managerProse')
    const actions = items.map((work) => ({
      task_id: work.task_id,
      action_name: work.action,
      action_type: work.kind,
      action_assignee: '_operator',
    }))
    this.#addResponse('_manager', 'manager_llm_response', '_operator', 'ACTION', { actions })
    this.#addFailure('managerFault')
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
    this.#addFailure('actionFault')
  }

  /** The operator creates commands. */
  #operate(items: readonly WorkItem[]): void {
    this.#addText('system', 'operator_llm_request', this.#phrases.operatorThinks, 'notice')
    this.#addFailure('operatorFault')
    this.#addFailure('operatorProse')
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
    this.#addFailure('commandFault')
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
    this.#addFailure('expertFault')
    const summary = { execution_id: this.#random.uuid(), ...ids, ai_summary: reading }
    this.#addData('_expert', 'execution_summary_generated', summary, 'read')
  }

  #acknowledge(): void {
    const details = this.#addResponse('_captain', 'llm_response', null, 'ROGER', { response_text: this.#phrases.roger })
    this.#addData('_captain', 'llm_roger_response', { text: this.#phrases.rogerNote, details }, 'record')
  }

  #complete(): void {
    const { verdict, closing } = this.#scenario
    this.#addText('system', 'llm_request', this.#phrases.captainThinks, 'notice')
    this.#addResponse('_captain', 'llm_response', null, 'MISSION_COMPLETE', { response_text: verdict })
    const completed = { text: this.#phrases.completed, details: verdict }
    this.#addData('_captain', 'event_completed_by_captain', completed, 'record')
    this.#summarize(closing, '', 'completed')
    this.#addChat('user', this.#engineer.id, this.#phrases.lastQuestion)
    this.#addChat('ai', 'system', this.#phrases.answerFailed)
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
    this.#summary = this.#random.hex(32)
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

  /** Adds a language model response of one role, to the next one if that has to act. @returns its data */
  #addResponse(
    from: string,
    type: string,
    to: string | null,
    response_type: string,
    fields: Record<string, unknown>,
  ): unknown {
    const data = {
      type: 'llm_response',
      from,
      ...(to !== null && { to }),
      ...this.#withContext({}),
      response_type,
      ...fields,
      req_id: this.#random.uuid(),
      res_id: this.#random.uuid(),
    }
    this.#addData(from, type, data, 'model')
    return data
  }

  #addFailure(failure: Failure): void {
    if (this.#failures.get(failure) !== this.#round) return
    this.#failures.delete(failure)
    const [from, type] = FAILURES[failure]
    this.#addData(from, type, failureData(failure, this.#phrases[failure], this.#random), 'model')
  }

  #addText(from: string, type: string, text: string, pace: keyof typeof PAUSES): void {
    this.#addData(from, type, { text }, pace)
  }

  #addData(from: string, type: string, data: unknown, pace: keyof typeof PAUSES): void {
    this.#addStep({ from, type, round: this.#round, data, chat: null, user: null }, pace)
  }

  /** Adds a line of the engineer in the war room. */
  #addLine(text: string): void {
    const data = { type: 'text', text }
    this.#addStep({ from: 'user', type: 'user_message', round: null, data, chat: null, user: this.#engineer }, 'type')
  }

  /** Adds a question of the engineer to the AI, or its answer. */
  #addChat(sender: 'user' | 'ai', from: string, content: string): void {
    const chat = { sender, session: this.#session, summary: this.#summary }
    const pace = sender === 'user' ? 'type' : 'read'
    this.#addStep({ from, type: 'chat', round: null, data: { content }, chat, user: null }, pace)
  }

  #addStep(step: Omit<ScriptStep, 'pause'>, pace: keyof typeof PAUSES): void {
    const [min, max] = PAUSES[pace]
    this.#steps.push({ pause: this.#random.integer(min, max), ...step })
  }
}
