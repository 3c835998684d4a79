import { readAsset } from './assets.ts'

/** Returns the version in package.json. */
export const version = (): string => (JSON.parse(readAsset('package.json').toString()) as { version: string }).version
