/** The path of this script, which every gateway serves below its BASE_PATH. Unit tests load it from a file. */
const { protocol, pathname } = new URL('.', import.meta.url)
const BASE = protocol === 'file:' ? '/' : pathname

/** Adds BASE_PATH to a path of the gateway, which begins with a slash. */
export const gatewayPath = (path: string): string => BASE + path.slice(1)

/** Removes BASE_PATH from the path of an address. @returns null if the address is not below it */
export const pathInGateway = (address: string): string | null =>
  address.startsWith(BASE) ? address.slice(BASE.length - 1) : null
