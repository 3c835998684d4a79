/** Texts that are the same in every incident. */
export interface Phrases {
  readonly captainThinks: string
  readonly managerThinks: string
  readonly operatorThinks: string
  readonly expertReads: string
  readonly expertSums: string
  readonly opened: (name: string, severity: string, source: string) => string
  readonly nextRound: (round: number) => string
  readonly actionCreated: (name: string) => string
  readonly commandCreated: (name: string) => string
  readonly roger: string
  readonly rogerNote: string
  readonly completed: string
  readonly closed: string
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
    opened: (name, severity, source) =>
      `New event “${name}”, severity ${severity}, reported by ${source}. The team is called.`,
    nextRound: (round) => `Round ${round} begins.`,
    actionCreated: (name) => `Action created: ${name}`,
    commandCreated: (name) => `Command created: ${name}`,
    roger: 'Roger. The results of this round answer the open questions; I am drawing up the next tasks.',
    rogerNote: 'The captain has taken note of the summary.',
    completed: 'The captain has closed the event: all tasks are done.',
    closed: 'The event is closed. This chat stays readable.',
    captainFault: 'The language model did not answer within 60 s. Trying again (1 of 3).',
    managerProse: 'Expected a list of actions, got prose. The model is asked again with the format in the prompt.',
    actionFault: 'An action names a task that does not exist. It was left out; the others stand.',
    managerFault:
      'The connection to the case database was lost while an action was saved. It was saved at the second try.',
    operatorProse: 'Expected a list of commands, got an empty answer. The model is asked again.',
    commandFault: 'A command names a playbook that is not installed. It was replaced by the generic one.',
    operatorFault: 'The list of playbooks could not be read: 503 from the SOAR. Trying again in 5 s.',
    expertFault: 'A result is longer than the model can read. It is summed up in two parts.',
  },
  zh: {
    captainThinks: '指挥官正在分析',
    managerThinks: '管理员正在把任务拆解为行动',
    operatorThinks: '工程师正在选择指令',
    expertReads: '专家正在解读执行结果',
    expertSums: '专家正在总结本轮',
    opened: (name, severity, source) => `新事件“${name}”，等级${severity}，来源：${source}。已召集团队。`,
    nextRound: (round) => `进入第 ${round} 轮。`,
    actionCreated: (name) => `已建行动：${name}`,
    commandCreated: (name) => `已建指令：${name}`,
    roger: '收到。本轮结果回答了未决问题，我来布置下一批任务。',
    rogerNote: '指挥官已阅本轮总结。',
    completed: '指挥官宣布事件结束：任务全部完成。',
    closed: '事件已关闭，本会话仍可查看。',
    captainFault: '大模型 60 秒内未返回，正在重试（1/3）。',
    managerProse: '期望得到行动列表，却收到一段散文。已在提示词中附上格式并重新请求。',
    actionFault: '有一个行动引用了不存在的任务，已忽略，其余行动不受影响。',
    managerFault: '保存行动时与案件库的连接中断，第二次保存成功。',
    operatorProse: '期望得到指令列表，却收到空回复，正在重新请求。',
    commandFault: '有一条指令引用了未安装的剧本，已替换为通用剧本。',
    operatorFault: '读取剧本列表失败：SOAR 返回 503，5 秒后重试。',
    expertFault: '执行结果超出模型可读长度，分两段总结。',
  },
}
