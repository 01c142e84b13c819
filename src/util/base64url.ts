const encoder = new TextEncoder()
// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is what its bytes are
const ASCII = /^[\x00-\x7f]*$/
const URL_SAFE: Readonly<Record<string, string>> = { '+': '-', '/': '_', '=': '' }
/** Arguments of one call that every engine takes. */
const CHUNK = 4096

/** RFC 4648 section 5, without padding. Text is encoded as UTF-8 first. */
export function base64url(input: Uint8Array | string): string {
  return base64(input).replace(/[+/=]/g, (character) => URL_SAFE[character] ?? '')
}

/** RFC 4648 section 4. Text is encoded as UTF-8 first. */
export function base64(input: Uint8Array | string): string {
  if (typeof input !== 'string') return btoa(binary(input))
  return btoa(ASCII.test(input) ? input : binary(encoder.encode(input)))
}

/** One character a byte. */
function binary(bytes: Uint8Array): string {
  let text = ''
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK))
  }
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
