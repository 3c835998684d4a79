/** Does nothing; for listeners and rejections that need a handler. */
export const noop = (): void => undefined
