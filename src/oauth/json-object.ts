/** Why a text is not the JSON object that it should be. */
export type JsonProblem = 'not JSON' | 'not a JSON object' | 'a member that occurs twice'

/**
 * Parses a JSON object from the wire, strictly: UTF-8 without byte order mark, one object at the top, no member twice
 * (parsers disagree on which one counts; RFC 6749 section 3.2 forbids it).
 *
 * @returns The object, without prototype, or what is wrong with the bytes.
 */
export function parseJsonObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | JsonProblem {
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = JSON.parse(text)
  } catch {
    return 'not JSON'
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not a JSON object'
  const members = Object.entries(value)
  if (topLevelMembers(text) !== members.length) return 'a member that occurs twice'
  return Object.assign(Object.create(null), Object.fromEntries(members))
}

/** Counts the members of the outermost object of a text that is known to be valid JSON. */
function topLevelMembers(text: string): number {
  let depth = 0
  let members = 0
  for (let index = 0; index < text.length; index++) {
    const character = text[index]
    if (character === '"') index = endOfString(text, index)
    else if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') depth--
    else if (character === ':' && depth === 1) members++
  }
  return members
}

function endOfString(text: string, start: number): number {
  let index = start + 1
  while (text[index] !== '"') index += text[index] === '\\' ? 2 : 1
  return index
}
