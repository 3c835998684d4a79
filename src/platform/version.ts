import { readAsset } from './assets.ts'

/** The version in package.json. */
export const version = (): string => (JSON.parse(readAsset('package.json').toString()) as { version: string }).version
