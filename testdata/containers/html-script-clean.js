// A script by itself, as it comes in archives.
(function () {
  var name = "rechnung.zip";
  var s = "";
  s = s + 'UEsDBBQAAAAIAAAAIVjWNeeXPwAAAOgDAAAIAAAA';
  s = s + 'bm90ZS50eHQLycgsVkjLzElVyMjPSSlWSMzLL8lI';
  s = s + 'LVIoSa0o0ePyzs/Ly0zOyCxP1FF4Nn3pszlr9LhC';
  s = s + 'RnWM6hjVMcR0AABQSwECFAMUAAAACAAAACFY1jXn';
  s = s + 'lz8AAADoAwAACAAAAAAAAAAAAAAAgAEAAAAAbm90';
  s = s + 'ZS50eHRQSwUGAAAAAAEAAQA2AAAAZQAAAAAA';
  save(atob(s), name);
})();
