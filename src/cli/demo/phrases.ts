/** Texts that are the same in every incident. */
export interface Phrases {
  readonly captainThinks: string
  readonly managerThinks: string
  readonly operatorThinks: string
  readonly expertReads: string
  readonly expertSums: string
  readonly opened: (name: string) => string
  readonly nextRound: (round: number) => string
  readonly actionCreated: (name: string) => string
  readonly commandCreated: (name: string) => string
  readonly roger: string
  readonly rogerNote: string
  readonly completed: string
  readonly lastQuestion: string
  /** In place of an answer of the AI. */
  readonly answerFailed: string
  /** Nicknames of engineers. */
  readonly engineers: readonly string[]
  readonly captainFault: string
  readonly managerProse: string
  readonly actionFault: string
  readonly managerFault: string
  readonly operatorProse: string
  readonly commandFault: string
  readonly operatorFault: string
  readonly expertFault: string
}

export const PHRASES: Readonly<Record<'en' | 'zh', Phrases>> = {
  en: {
    captainThinks: 'The captain is analysing the event',
    managerThinks: 'The manager is turning tasks into actions',
    operatorThinks: 'The operator is choosing commands',
    expertReads: 'The expert is reading the results',
    expertSums: 'The expert is summing up the round',
    opened: (name) => `New security event: ${name}`,
    nextRound: (round) => `Round ${round} begins.`,
    actionCreated: (name) => `Action created: ${name}`,
    commandCreated: (name) => `Command created: ${name}`,
    roger: 'Roger. The results of this round answer the open questions; I am drawing up the next tasks.',
    rogerNote: 'The captain has taken note of the summary.',
    completed: 'The captain has closed the event: all tasks are done.',
    lastQuestion: 'Please write the hand-over for the next shift.',
    answerFailed: 'The assistant could not answer: Request timed out. Please try again later.',
    engineers: ['Ann Lee', 'Ben', 'Carol W.'],
    captainFault: 'The answer of the language model could not be parsed. The captain asks again.',
    managerProse: 'Expected a list of actions, got prose. The model is asked again with the format in the prompt.',
    actionFault: 'An action names a task that does not exist. It was left out; the others stand.',
    managerFault: 'The answer of the language model could not be parsed. The manager asks again.',
    operatorProse: 'Expected a list of commands, got an empty answer. The model is asked again.',
    commandFault: 'A command names a playbook that is not installed. It was replaced by the generic one.',
    operatorFault: 'The answer of the language model could not be parsed. The operator asks again.',
    expertFault: 'A result could not be summed up. The expert tries again.',
  },
  zh: {
    captainThinks: '指挥官正在分析',
    managerThinks: '管理员正在把任务拆解为行动',
    operatorThinks: '工程师正在选择指令',
    expertReads: '专家正在解读执行结果',
    expertSums: '专家正在总结本轮',
    opened: (name) => `新的安全事件：${name}`,
    nextRound: (round) => `进入第 ${round} 轮。`,
    actionCreated: (name) => `已建行动：${name}`,
    commandCreated: (name) => `已建指令：${name}`,
    roger: '收到。本轮结果回答了未决问题，我来布置下一批任务。',
    rogerNote: '指挥官已阅本轮总结。',
    completed: '指挥官宣布事件结束：任务全部完成。',
    lastQuestion: '请为下一班写一份交接说明。',
    answerFailed: '助手未能回答：请求超时。请稍后再试。',
    engineers: ['小王', '李工', '陈晨'],
    captainFault: '大模型的回复无法解析，指挥官重新请求。',
    managerProse: '期望得到行动列表，却收到一段自然语言文本。已在提示词中附上格式并重新请求。',
    actionFault: '有一个行动引用了不存在的任务，已忽略，其余行动不受影响。',
    managerFault: '大模型的回复无法解析，管理员重新请求。',
    operatorProse: '期望得到指令列表，却收到空回复，正在重新请求。',
    commandFault: '有一条指令引用了未安装的剧本，已替换为通用剧本。',
    operatorFault: '大模型的回复无法解析，工程师重新请求。',
    expertFault: '一份执行结果总结失败，专家重试。',
  },
}
