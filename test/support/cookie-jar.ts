/** What a browser keeps for one origin, as far as a test needs it. */
export interface CookieJar {
  /** The `Cookie` header of the next request. */
  readonly header: string
  /** By name; may be changed by hand. */
  readonly cookies: Map<string, string>
  /** Takes the `Set-Cookie` lines of a response, in the order in which responses come. */
  take(lines: readonly string[]): void
}

export function createCookieJar(): CookieJar {
  const cookies = new Map<string, string>()
  return {
    cookies,
    get header() {
      return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    },
    take(lines) {
      for (const line of lines) {
        const [pair = '', ...attributes] = line.split('; ')
        const equals = pair.indexOf('=')
        const name = pair.slice(0, equals)
        if (attributes.includes('Max-Age=0')) cookies.delete(name)
        else cookies.set(name, pair.slice(equals + 1))
      }
    },
  }
}
