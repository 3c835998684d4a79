import type { SeededRandom } from './seeded-random.ts'

/** Errors that occur once in each incident, and from which the team recovers: sender and message type. */
export const FAILURES = {
  captainFault: ['_captain', 'error_internal'],
  managerProse: ['_manager', 'llm_unexpected_response'],
  actionFault: ['_manager', 'error_action_creation'],
  managerFault: ['_manager', 'error_internal'],
  operatorProse: ['_operator', 'llm_unexpected_response'],
  commandFault: ['_operator', 'error_command_creation'],
  operatorFault: ['_operator', 'error_internal'],
  expertFault: ['_expert', 'error_execution_summary'],
} as const

export type Failure = keyof typeof FAILURES

/** Returns the `data` of an error: its text, and what the agent could not use. */
export const failureData = (failure: Failure, text: string, random: SeededRandom): Record<string, unknown> => {
  switch (FAILURES[failure][1]) {
    case 'error_internal':
      return { text, original_response: 'response_type: TASK\ntasks: [unclosed' }
    case 'llm_unexpected_response':
      return { text, llm_response: { type: 'llm_response', response_type: 'ROGER', response_text: 'Roger.' } }
    case 'error_action_creation':
      return { text, details: { task_id: random.uuid(), action_name: '-', action_assignee: '_operator' } }
    case 'error_command_creation':
      return { text, details: { action_id: random.uuid(), command_type: 'playbook', command_name: '-' } }
    case 'error_execution_summary':
      return { execution_id: random.uuid(), command_id: random.uuid(), error_message: 'Request timed out.', text }
  }
}
