/** How a session's cookies are named and sent. */
export interface CookieFrame {
  /** Of the first cookie, its prefix included; the others have a number behind it. */
  readonly name: string
  readonly isSecure: boolean
}

/** Browsers take so many bytes in one `Set-Cookie` line: RFC 6265 section 6.1 counts name, value and attributes. */
const MAX_LINE = 4096
/** All cookies of a session as a request brings them: servers and proxies take 8,190 bytes in a line, in which others' cookies have to fit too. */
export const MAX_TOTAL = 8000
/** What {@link MAX_TOTAL} takes at the most: attributes take 59 bytes of a line. */
export const MAX_CHUNKS = 2
/** Between two cookies in a request. */
const SEPARATOR = '; '.length

/** The name of one of the cookies that a session is spread over. */
export function chunkName({ name }: CookieFrame, at: number): string {
  return at === 0 ? name : `${name}.${at}`
}

/** How a text of some length is spread. */
export interface Spread {
  /** How long the part in each cookie is. */
  readonly lengths: readonly number[]
  /** What a request that brings them holds, in bytes. */
  readonly total: number
}

/** Spreads a text over as few cookies as it fits in. */
export function spread(frame: CookieFrame, length: number, maxAge: number): Spread {
  const attributes = attributesOf(frame, maxAge)
  const lengths: number[] = []
  let total = 0
  for (let left = length; left > 0; left -= lengths.at(-1) ?? left) {
    const name = chunkName(frame, lengths.length)
    const part = Math.min(left, MAX_LINE - name.length - '='.length - attributes.length)
    total += (lengths.length > 0 ? SEPARATOR : 0) + name.length + '='.length + part
    lengths.push(part)
  }
  return { lengths, total }
}

/** The `Set-Cookie` lines for a text. */
export function linesOf(
  frame: CookieFrame,
  text: string,
  { spread: { lengths }, maxAge }: { readonly spread: Spread; readonly maxAge: number },
): readonly string[] {
  const attributes = attributesOf(frame, maxAge)
  let from = 0
  return lengths.map((length, at) => {
    const part = text.slice(from, from + length)
    from += length
    return `${chunkName(frame, at)}=${part}${attributes}`
  })
}

/** The line that removes a cookie: browsers want the attributes that it was set with. */
export function removalOf(frame: CookieFrame, name: string): string {
  return `${name}=${attributesOf(frame, 0)}`
}

function attributesOf({ isSecure }: CookieFrame, maxAge: number): string {
  return `; Path=/; Max-Age=${maxAge}; HttpOnly; SameSite=Lax${isSecure ? '; Secure' : ''}`
}
