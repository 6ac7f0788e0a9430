/**
 * Whether a name has the text in it or, where the text has `*` or `?`, is as a whole of that pattern: `*` stands for any
 * characters, `?` for one. Capital letters and small ones are the same, as are different ways to write an accent.
 */
export function toNameFilter(text: string): (name: string) => boolean {
  const wanted = fold(text);
  if (!/[*?]/.test(wanted)) return (name) => fold(name).includes(wanted);
  const pattern = [...wanted];
  return (name) => isOfPattern([...fold(name)], pattern);
}

function fold(text: string): string {
  return text.normalize('NFC').toLowerCase();
}

/**
 * Never goes back behind the last `*` that was met, so that at worst every character is compared with each of the pattern,
 * whatever somebody may think up.
 */
function isOfPattern(name: string[], pattern: string[]): boolean {
  let [at, inPattern] = [0, 0];
  let lastStar: { at: number; inPattern: number } | null = null;
  while (at < name.length) {
    const wanted = pattern[inPattern];
    if (wanted === '*') {
      inPattern += 1;
      lastStar = { at, inPattern };
    } else if (wanted === '?' || wanted === name[at]) {
      at += 1;
      inPattern += 1;
    } else if (lastStar !== null) {
      lastStar.at += 1;
      ({ at, inPattern } = lastStar);
    } else {
      return false;
    }
  }
  return pattern.slice(inPattern).every((character) => character === '*');
}
