/** Does nothing: for listeners and rejections that need a handler and no reaction. */
export const noop = (): void => undefined
