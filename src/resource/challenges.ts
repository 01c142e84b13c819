/** One challenge of a `WWW-Authenticate` header (RFC 9110 section 11.3). */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  /** By name in lower case; of a name that occurs twice, the first. */
  readonly parameters: ReadonlyMap<string, string>
}

/** A longer header is not looked at. */
const MAX_LENGTH = 16 * 1024
/** `token` of RFC 9110 section 5.6.2, with the slash that `token68` may also have. */
const WORD = /[!#$%&'*+\-.^_`|~0-9A-Za-z/]*/y
const SPACE = /[ \t]*/y
const SEPARATORS = /[ \t,]*/y
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/y
const PADDING = /=*/y

/**
 * Takes a header apart in one pass, also where several challenges, header lines joined by commas, quoted commas and mixed case
 * meet. What cannot be read ends the reading; what was read before it stands.
 */
export function parseChallenges(header: string | undefined): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  if (header === undefined || header.length > MAX_LENGTH) return challenges
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match !== null) at += match[0].length
    return match
  }

  let mayBeToken68 = false
  for (;;) {
    const separators = take(SEPARATORS)?.[0] ?? ''
    if (separators.includes(',')) mayBeToken68 = false
    const word = take(WORD)?.[0]
    if (!word) return challenges
    const afterWord = at
    take(SPACE)
    const current = challenges.at(-1)
    if (header[at] !== '=') {
      at = afterWord
      // The single word behind a scheme is its token68; any other word opens a challenge.
      if (mayBeToken68) mayBeToken68 = false
      else {
        challenges.push({ scheme: word.toLowerCase(), parameters: new Map() })
        mayBeToken68 = header[at] === ' '
      }
      continue
    }
    at++
    take(SPACE)
    const quoted = header[at] === '"' ? take(QUOTED) : undefined
    if (quoted === null || current === undefined) return challenges
    const value = quoted ? (quoted[1] ?? '').replace(/\\([\s\S])/g, '$1') : (take(WORD)?.[0] ?? '')
    // A token68 ends in equals signs and has no value behind them.
    if (value === '' && quoted === undefined) take(PADDING)
    else if (!current.parameters.has(word.toLowerCase())) current.parameters.set(word.toLowerCase(), value)
    mayBeToken68 = false
  }
}
