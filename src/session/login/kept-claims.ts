import { byteLength, describe } from '../../util/index.ts'

/** Claims of a user, as they are kept. */
export type Claims = Readonly<Record<string, unknown>>

/** Makes the error that tells what was expected. */
export type Refuse = (expected: string, cause?: unknown) => Error

/** So many bytes as JSON: what has no room beside the tokens would cost them. */
const MAX_BYTES = 16 * 1024

/** The copies that were made here: nobody else has a part of one. */
const copies = /* @__PURE__ */ new WeakSet<object>()

/**
 * What is kept of claims: a copy as JSON has it, since that is how it rests, frozen through and through, since all requests of a session see it. Throws what `refuse`
 * makes where they are no claims, or more than 16 KiB of them.
 */
export function keptClaims(claims: unknown, refuse: Refuse): Claims | undefined {
  if (claims === undefined) return undefined
  if (!isPlain(claims)) throw refuse(`claims to be a plain object, got ${describe(claims)}`)
  const text = textOf(claims, refuse)
  if (byteLength(text) > MAX_BYTES) throw refuse(`claims of at most ${MAX_BYTES} bytes as JSON, got more`)
  return copyOf(text, refuse)
}

/** The same for claims that somebody has kept already, however many. */
export function frozenClaims(claims: Claims, refuse: Refuse): Claims {
  return copies.has(claims) ? claims : copyOf(textOf(claims, refuse), refuse)
}

/** What looks like a plain object, and gives something else to whoever asks, is none. */
function copyOf(text: string, refuse: Refuse): Claims {
  const copy: unknown = JSON.parse(text, (_name, value: unknown) => Object.freeze(value))
  if (!isPlain(copy)) throw refuse(`claims to be a plain object as JSON, got ${describe(copy)}`)
  copies.add(copy)
  return copy
}

function textOf(claims: object, refuse: Refuse): string {
  try {
    // Nothing is what a `toJSON` may make of it.
    return JSON.stringify(claims) ?? 'null'
  } catch (cause) {
    throw refuse('claims that JSON can hold', cause)
  }
}

/** From whichever realm, and without a prototype as well. */
function isPlain(value: unknown): value is Claims {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
