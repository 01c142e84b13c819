import { base64url } from './base64url.ts'

/** A number in [0, 1) from the platform's secure source, which is the only one used here. */
export type Random = () => number

export const secureRandom: Random = () => (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32

/** 128 bits. */
const ID_BYTES = 16

const pool = /* @__PURE__ */ new Uint8Array(64 * ID_BYTES)
let used: number = pool.length

/** A name that nobody has had: 128 bits in base64url. They are drawn for many names at a time, which is ten times as fast. */
export function randomId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool)
    used = 0
  }
  used += ID_BYTES
  return base64url(pool.subarray(used - ID_BYTES, used))
}
