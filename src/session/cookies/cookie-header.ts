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
    const name = trimmed(pair.slice(0, Math.max(equals, 0)))
    if (names.has(name)) {
      isDoubled ||= values.has(name)
      values.set(name, trimmed(pair.slice(equals + 1)))
    }
    from = to + 1
  }
  return { values, isDoubled }
}

/**
 * Without the space around it, as browsers and this grammar have it. `trim()` takes off more, such as the byte A0, and then a cookie whose name only begins like one with
 * the prefix `__Host-` would be one: any host of the domain can set that.
 */
function trimmed(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isSpace(text, from)) from++
  while (to > from && isSpace(text, to - 1)) to--
  return text.slice(from, to)
}

function isSpace(text: string, at: number): boolean {
  return text[at] === ' ' || text[at] === '\t'
}
