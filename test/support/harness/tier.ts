/** True in the full tier, `npm run test:full`: every variant of every test, in its long form. */
export const FULL = process.env.TEST_FULL === '1'

/** The size of a test: `short` in `npm test`, `full` in the full tier. */
export const runs = (short: number, full: number): number => (FULL ? full : short)
