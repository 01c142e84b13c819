import { isEvertokenError } from '../token/index.ts'
import type { Output } from './command.ts'

/** What moves the cursor of a terminal, or turns the direction of its text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}]/gu
/** Those of them that JSON leaves as they are, white space between its members apart. */
const UNPRINTABLE_IN_JSON = /[\u007f-\u009f\p{Cf}]/gu

/** Writes a line for the user. */
export function tell(stderr: Output, message: string): void {
  stderr.write(`evertoken: ${message.replaceAll(UNPRINTABLE, '?')}\n`)
}

/** A result as JSON, for programs and for terminals. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
  return `${text.replaceAll(UNPRINTABLE_IN_JSON, escaped)}\n`
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}

/** What is said of an error. Those of this package hold no secret; what others hold nobody knows, so that only their kind is told. */
export function messageOf(error: unknown): string {
  return isEvertokenError(error) ? `${error.message} (${error.code})` : `expected no failure, got ${kindOf(error)}`
}

/** Name and code of an error, without its message. */
export function kindOf(error: unknown): string {
  const { name, code } = Object(error) as Readonly<Record<string, unknown>>
  const words = [name, code].filter((word) => typeof word === 'string' && /^\w{1,60}$/.test(word))
  return words.length === 0 ? 'something else' : words.join(' ')
}
