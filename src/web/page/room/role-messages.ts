import { escapeLine } from '../shared/escape-control-chars.ts'
import { defineMessages, language, lookUp } from '../shared/i18n.ts'
import { agentRole, type Role } from './model/roles.ts'

/** Names of the roles, as in DeepSOC. */
export const roleName: (role: Role) => string = defineMessages<Role>({
  en: {
    captain: 'Captain',
    manager: 'Manager',
    operator: 'Operator',
    executor: 'Executor',
    expert: 'Expert',
    system: 'System',
    ai: 'AI assistant',
    user: 'User',
  },
  zh: {
    captain: '安全指挥官',
    manager: '安全管理员',
    operator: '安全工程师',
    executor: '执行器',
    expert: '安全专家',
    system: '系统',
    ai: 'AI助手',
    user: '用户',
  },
})

/** Team members to whom DeepSOC's captain assigns tasks; none of them sends messages. */
const ASSIGNEES: Readonly<Record<string, readonly [en: string, zh: string]>> = {
  _analyst: ['Analyst', '分析员'],
  _coordinator: ['Coordinator', '协调员'],
  _responder: ['Responder', '处置员'],
}

const TYPES: Readonly<Record<string, readonly [en: string, zh: string]>> = {
  llm_request: ['model request', '请求分析'],
  manager_llm_request: ['model request', '请求分析'],
  operator_llm_request: ['model request', '请求分析'],
  expert_llm_request_exec_summary: ['summary request', '请求执行总结'],
  expert_llm_request_event_summary: ['summary request', '请求事件总结'],
  event_next_round_initiated: ['next round', '进入下一轮'],
  system_notification: ['notification', '系统通知'],
  llm_response: ['tasks', '任务下达'],
  llm_roger_response: ['roger', '确认收到'],
  event_completed_by_captain: ['completed', '事件完成'],
  error_internal: ['internal error', '内部错误'],
  manager_llm_response: ['actions', '行动安排'],
  action_created: ['action created', '行动已创建'],
  error_action_creation: ['action not created', '行动创建失败'],
  llm_unexpected_response: ['unexpected response', '异常响应'],
  operator_llm_response: ['commands', '指令下达'],
  command_created: ['command created', '指令已创建'],
  error_command_creation: ['command not created', '指令创建失败'],
  command_result: ['result', '执行结果'],
  execution_summary_generated: ['execution summary', '执行总结'],
  event_summary_generated: ['event summary', '事件总结'],
  error_execution_summary: ['no summary', '总结失败'],
  execution_summary: ['execution summary', '执行总结'],
  event_summary: ['event summary', '事件总结'],
  event_resolved_manual: ['resolved manually', '人工解决'],
  new_execution: ['execution waiting', '待人工执行'],
  execution_update: ['execution updated', '执行状态更新'],
  status: ['event status', '事件状态'],
  chat: ['chat', '对话'],
  user_message: ['message', '留言'],
}

const ANSWER_TYPES: Readonly<Record<string, readonly [en: string, zh: string]>> = {
  ROGER: ['roger', '确认收到'],
  MISSION_COMPLETE: ['mission complete', '任务完成'],
}

/**
 * Returns the display name of a message_type; an unknown one unchanged.
 *
 * @param answer `response_type` of a language model's response, which is not always a list
 */
export const typeName = (type: string, answer = ''): string =>
  (type.endsWith('llm_response') ? lookUp(ANSWER_TYPES, answer) : undefined) ?? lookUp(TYPES, type) ?? escapeLine(type)

/** Returns the display name of an agent such as `_manager`; any other name unchanged. */
export const agentName = (name: string): string => {
  const role = agentRole(name)
  return role === undefined ? (lookUp(ASSIGNEES, name) ?? escapeLine(name)) : roleName(role)
}

const STATUSES: Readonly<Record<string, string>> = {
  pending: '待执行',
  processing: '执行中',
  running: '执行中',
  completed: '已完成',
  success: '成功',
  failed: '失败',
  error: '出错',
  timeout: '超时',
  summarized: '已总结',
  resolved: '已解决',
  waiting: '等待人工处理',
  round_finished: '轮次完成',
  tasks_completed: '任务已完成',
  to_be_summarized: '待总结',
  summary_failed: '总结失败',
}

/** Statuses whose word differs for an event. */
const EVENT_STATUSES: Readonly<Record<string, string>> = { ...STATUSES, pending: '待处理', processing: '处理中' }

const SEVERITIES: Readonly<Record<string, string>> = {
  critical: '严重',
  high: '高',
  medium: '中',
  low: '低',
  info: '提示',
}

const KINDS: Readonly<Record<string, string>> = {
  query: '查询',
  write: '处置',
  notify: '通知',
  playbook: '剧本',
  manual: '人工',
}

const ID_NAMES: Readonly<Record<string, string>> = {
  task: '任务',
  action: '行动',
  command: '指令',
  execution: '执行',
  summary: '总结',
}

/** Translates DeepSOC's English terms on a Chinese page; any other text is unchanged. */
const inChinese = (words: Readonly<Record<string, string>>, word: string): string =>
  language.get() === 'zh' && Object.hasOwn(words, word) ? words[word]! : escapeLine(word)

/** Returns the display name of the status of a task, action or command. */
export const statusName = (status: string): string => inChinese(STATUSES, status)

/** Returns the display name of the status of an event. */
export const eventStatusName = (status: string): string => inChinese(EVENT_STATUSES, status)

/** Returns the display name of a severity. */
export const severityName = (severity: string): string => inChinese(SEVERITIES, severity)

/** Returns the display name of the kind of a task, action or command. */
export const kindName = (kind: string): string => inChinese(KINDS, kind)

/** Returns the display name of an id. */
export const idName = (name: string): string => inChinese(ID_NAMES, name)

const ANSWERS: Readonly<Record<string, readonly [en: string, zh: string]>> = {
  ROGER: ['Roger', '收到'],
  MISSION_COMPLETE: ['Mission complete', '任务完成'],
}

const NO_TASKS = ['No tasks listed', '未列出任务'] as const

/** Returns the display name of a captain's response_type; empty for a list of tasks. */
export const answerName = (answer: string, isEmpty: boolean): string =>
  lookUp(isEmpty ? { ...ANSWERS, TASK: NO_TASKS } : ANSWERS, answer) ?? ''
