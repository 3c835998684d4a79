import { defineMessages } from '../../shared/i18n.ts'

/** Texts of the notices about messages that need attention. */
export const noticeText = defineMessages({
  en: {
    title: 'Needs attention',
    which: 'Errors, unexpected responses, completion, and messages with your name',
    only: 'Show only these',
    notify: 'Notify me',
    notifyHow:
      'While you are in another tab or program: a notification of the browser and a mark in the title of this tab. Remembered for this event.',
    titleOnly: 'This browser allows no notifications here. Only the title of the tab is marked.',
    error: 'Error: {event}',
    warning: 'Unexpected response: {event}',
    completed: 'Completed: {event}',
    mention: 'Your name: {event}',
    several: '{n} messages need attention: {event}',
    from: '{who}: {text}',
  },
  zh: {
    title: '需要关注',
    which: '错误、异常响应、事件完成，以及提到你的消息',
    only: '只看这些',
    notify: '提醒我',
    notifyHow: '在你查看其他标签页或程序时，由浏览器发出通知，并在本标签页标题上标记。按事件记住此设置。',
    titleOnly: '浏览器不允许此页面发送通知，仅在标签页标题上标记。',
    error: '错误：{event}',
    warning: '异常响应：{event}',
    completed: '事件完成：{event}',
    mention: '提到你：{event}',
    several: '{n} 条消息需要关注：{event}',
    from: '{who}：{text}',
  },
})
