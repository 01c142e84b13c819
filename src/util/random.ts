import { base64url } from './base64url.ts'

/** A number in [0, 1) from the platform's secure source, which is the only one used here. */
export type Random = () => number

export const secureRandom: Random = () => (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32

/** 144 bits, so that an id ends where a character of base64url ends. */
const ID_BYTES = 18
const ID_LENGTH = 24
const IDS = 64

let ids = ''
let used = 0

/** A name that nobody has had: 144 bits in base64url. They are drawn and encoded for many names at a time, which is ten times as fast. */
export function randomId(): string {
  if (used === ids.length) {
    ids = base64url(crypto.getRandomValues(new Uint8Array(IDS * ID_BYTES)))
    used = 0
  }
  used += ID_LENGTH
  return ids.slice(used - ID_LENGTH, used)
}
