import type { UpstreamStatus } from '../../../upstream/status.ts'
import { defineMessages } from '../shared/i18n.ts'

/** State of an edge as `/readyz` returns it; the core only to callers with a token. */
export type EdgeStatus = Omit<UpstreamStatus, 'core'> & { readonly core?: string }

/** Texts about an edge. */
export const edgeText = defineMessages({
  en: {
    edge: 'Edge',
    edgeOf: 'Edge of {core}',
    live: 'up to date',
    connecting: 'not connected to its core yet',
    copying: 'copying the history',
    catching_up: 'catching up',
    away: 'cut off from its core',
    messages: '{n} {n:message|messages} behind',
    seconds: '{n} s behind',
    minutes: '{n} min behind',
    hours: '{n} h behind',
  },
  zh: {
    edge: '边缘网关',
    edgeOf: '{core} 的边缘网关',
    live: '已是最新',
    connecting: '尚未连上核心网关',
    copying: '正在复制历史消息',
    catching_up: '正在追赶',
    away: '与核心网关断开',
    messages: '落后 {n} 条消息',
    seconds: '落后 {n} 秒',
    minutes: '落后 {n} 分钟',
    hours: '落后 {n} 小时',
  },
})

const lagText = (seconds: number): string => {
  if (seconds < 120) return edgeText('seconds', { n: Math.round(seconds) })
  if (seconds < 7_200) return edgeText('minutes', { n: Math.round(seconds / 60) })
  return edgeText('hours', { n: Math.round(seconds / 3_600) })
}

/** Returns which core an edge has and how far it is behind, as one line. */
export const describeEdge = ({ core, state, lag_messages, lag_seconds }: EdgeStatus): string => {
  const parts = [core === undefined ? edgeText('edge') : edgeText('edgeOf', { core }), edgeText(state)]
  if (state !== 'live') {
    if (lag_messages !== null && lag_messages > 0) parts.push(edgeText('messages', { n: lag_messages }))
    if (lag_seconds !== null) parts.push(lagText(lag_seconds))
  }
  return parts.join(' · ')
}
