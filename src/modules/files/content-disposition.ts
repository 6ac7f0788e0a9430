/** Anything in a quoted string of a header but these could end it, or would be read differently by each client. */
const PLAIN = /[^\w !#$&+.,;=@^`{}~()[\]-]/g;
/** What `encodeURIComponent` leaves and RFC 8187 does not allow. */
const NOT_ALLOWED = /['()*]/g;

/** To be saved under this name, whatever is in it: RFC 6266, with a plain name for old clients. */
export function attachment(name: string): string {
  const whole = name.toWellFormed();
  const plain = whole.replace(PLAIN, '_');
  if (plain === whole) return `attachment; filename="${plain}"`;
  const encoded = encodeURIComponent(whole).replace(
    NOT_ALLOWED,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
