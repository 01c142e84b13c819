const encoder = /* @__PURE__ */ new TextEncoder()

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is what its own bytes are
const ASCII = /^[\x00-\x7f]*$/
/** Arguments of one call that every engine takes. */
const CHUNK = 4096

/** RFC 4648 section 5, without padding. Text is encoded as UTF-8 first. */
export function base64url(input: Uint8Array | string): string {
  let text = base64(input)
  // A look costs less than a replacement that finds nothing.
  if (text.includes('+')) text = text.replaceAll('+', '-')
  if (text.includes('/')) text = text.replaceAll('/', '_')
  const end = text.indexOf('=')
  return end === -1 ? text : text.slice(0, end)
}

/** RFC 4648 section 4. Text is encoded as UTF-8 first. */
export function base64(input: Uint8Array | string): string {
  if (typeof input !== 'string') return btoa(binary(input))
  return btoa(ASCII.test(input) ? input : binary(encoder.encode(input)))
}

/** One character a byte. */
function binary(bytes: Uint8Array): string {
  if (bytes.length <= CHUNK) return String.fromCharCode.apply(null, bytes as unknown as number[])
  let text = ''
  for (let start = 0; start < bytes.length; start += CHUNK) text += binary(bytes.subarray(start, start + CHUNK))
  return text
}

/** What a text in base64url stands for, or `undefined` when it is none. */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (!/^[\w-]*$/.test(text)) return undefined
  try {
    const decoded = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(decoded, (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}
