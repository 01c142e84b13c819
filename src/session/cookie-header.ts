/** The cookies of a request that have one of the names that are looked for. */
export interface FoundCookies {
  readonly values: ReadonlyMap<string, string>
  /** Whether one of them is there twice: somebody else has set one for another path or domain, and which is whose cannot be told. */
  readonly isDoubled: boolean
}

/** Reads a `Cookie` header (RFC 6265 section 4.2) in one pass, however many cookies it holds. */
export function cookiesNamed(names: ReadonlySet<string>, header: string): FoundCookies {
  const values = new Map<string, string>()
  let isDoubled = false
  for (let from = 0; from < header.length; ) {
    const semicolon = header.indexOf(';', from)
    const to = semicolon === -1 ? header.length : semicolon
    // Not over the end of this cookie: a look that goes on to the end of the header each time takes the square of its length.
    const pair = header.slice(from, to)
    const equals = pair.indexOf('=')
    const name = pair.slice(0, Math.max(equals, 0)).trim()
    if (names.has(name)) {
      isDoubled ||= values.has(name)
      values.set(name, pair.slice(equals + 1).trim())
    }
    from = to + 1
  }
  return { values, isDoubled }
}
