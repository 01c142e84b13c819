/** Name and code of an error, without its message. */
export function kindOf(error: unknown): string {
  const { name, code } = Object(error) as Readonly<Record<string, unknown>>
  const words = [name, code].filter((word) => typeof word === 'string' && /^\w{1,60}$/.test(word))
  return words.length === 0 ? 'something else' : words.join(' ')
}
