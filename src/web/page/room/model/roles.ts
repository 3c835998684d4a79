/** Roles of senders in a war room. */
export const ROLES = ['captain', 'manager', 'operator', 'executor', 'expert', 'system', 'ai', 'user'] as const

export type Role = (typeof ROLES)[number]

const AGENT = /^_(captain|manager|operator|executor|expert)$/

/** Returns the role of an agent by its name (`_manager`), undefined for any other sender. */
export const agentRole = (from: string): Role | undefined => AGENT.exec(from)?.[1] as Role | undefined

/** Returns the role of a sender; `user` for unknown senders and for sender_type `user`. Pure. */
export const getRole = (from: string, senderType: unknown): Role => {
  if (senderType === 'user') return 'user'
  if (from === 'ai_assistant' || senderType === 'ai') return 'ai'
  return agentRole(from) ?? (from === 'system' || senderType === 'system' ? 'system' : 'user')
}
