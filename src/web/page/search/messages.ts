import { defineMessages } from '../shared/i18n.ts'

/** Texts of the search in messages. */
export const searchText = defineMessages({
  en: {
    title: 'Messages that contain “{q}”',
    searching: 'Searching…',
    none: 'No message contains all of this.',
    noneYet: 'No newer message contains all of this. Older ones are not searched yet.',
    hits: '{n} {n:message|messages}, newest first',
    moreHits: 'The newest {n} {n:message|messages}',
    more: 'Show older ones',
    retry: 'Retry',
    filtered: 'Only messages that the filters show; the period is that of their receipt.',
    noAttention: '“Needs attention” does not apply here.',
    building: 'The search index is being built. Hits that are missing follow by themselves.',
    problem: 'The search failed: {why}',
    noSender: 'no sender',
    inEvent: 'Search all messages of this event',
    close: 'Close the search results',
  },
  zh: {
    title: '包含“{q}”的消息',
    searching: '正在搜索…',
    none: '没有消息包含全部搜索内容。',
    noneYet: '较新的消息中没有包含全部搜索内容的；更早的消息尚未搜索。',
    hits: '{n} 条消息，最新的在前',
    moreHits: '最新的 {n} 条消息',
    more: '显示更早的',
    retry: '重试',
    filtered: '仅包含符合筛选条件的消息；时段以接收时间为准。',
    noAttention: '“需要关注”筛选在此不生效。',
    building: '正在建立搜索索引，缺少的结果会自动补上。',
    problem: '搜索失败：{why}',
    noSender: '无发送者',
    inEvent: '搜索该事件的全部消息',
    close: '关闭搜索结果',
  },
})
